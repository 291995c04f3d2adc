/** What a person does, from the data to a folder for others, with the program as it is shipped and a model in F16 shards. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CompareReport } from '@protocol/compare';
import type { RunEvent } from '@protocol/events';
import type { Estimate, EvalResult, ExportResult, GenerateResult, RunSummary } from '@protocol/runner';
import { Random } from '@runner/data/random';
import { hashWeights } from '@runner/hub/hash';
import { openModelDir } from '@runner/hub/modelDir';
import { saveSafetensors } from '@runner/hub/saveSafetensors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildRunner, runRunner } from '../support/runner';
import { tinyProject } from '../unit/cli/support';
import { expectEvent } from './eventSchema';

let dir: string;
let recipe: string;
const run = () => join(dir, 'run');
const tuneyard = (...argv: string[]) => runRunner(argv, { home: join(dir, 'home'), cwd: dir });

/** The weights of a model folder again, as float16 in two files with an index, as large models come. */
async function shardInHalf(model: string): Promise<void> {
  const { weights } = await openModelDir(model);
  const random = new Random(11);
  const tensors = weights.names().map((name) => {
    const { shape } = weights.info(name);
    const values = shape.reduce((a, b) => a * b, 1);
    // A sign, an exponent and a fraction: ±2⁻⁶ to ±2⁻².
    const half = () => (random.nextInt(2) << 15) | ((9 + random.nextInt(4)) << 10) | random.nextInt(1024);
    return { name, shape, dtype: 'F16' as const, data: Uint16Array.from({ length: values }, half) };
  });
  const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const shardOf = (i: number) => shards[i % 2]!;
  for (const shard of shards) {
    await saveSafetensors(
      join(model, shard),
      tensors.filter((_, i) => shardOf(i) === shard),
    );
  }
  const weight_map = Object.fromEntries(tensors.map(({ name }, i) => [name, shardOf(i)]));
  await rm(join(model, 'model.safetensors'));
  await writeFile(join(model, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }));
}

/** The hash of what lies in a folder, found without the code that stamps texts. */
async function hashOfFolder(folder: string): Promise<string> {
  const { weights } = await openModelDir(folder);
  const tensors = weights.names().map(async (name) => {
    const { shape } = weights.info(name);
    return { name, shape, data: await weights.readFloat32(name) };
  });
  return hashWeights(await Promise.all(tensors));
}

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-journey-'));
  recipe = await tinyProject(dir, { max_steps: 16, eval_strategy: 'steps', eval_steps: 8, save_strategy: 'no' });
  await shardInHalf(join(dir, 'model'));
});

afterAll(() => rm(dir, { recursive: true, force: true }));

describe('a person with a model and a file', () => {
  it('sees what the data is and what the run will need', async () => {
    const preview = await tuneyard('preview', 'data.jsonl', '--recipe', recipe, '--json');
    expect([preview.status, preview.stderr]).toEqual([0, '']);
    expect(preview.objects()).toMatchObject([{ rows: 40 }]);
    const measured = await tuneyard('estimate', recipe, '--measure', '--json');
    expect([measured.status, measured.stderr]).toEqual([0, '']);
    const [estimate] = measured.objects<Estimate>();
    expect(estimate?.total_steps).toBe(16);
    expect(estimate?.measured?.step_seconds).toBeGreaterThan(0);
  });

  it('trains, and every line that a program reads is what the protocol says', async () => {
    const { status, stderr, objects } = await tuneyard('train', recipe, '--run-dir', run(), '--json');
    expect([status, stderr]).toEqual([0, '']);
    const [first, ...events] = objects<RunEvent>();
    const result = events.pop();
    expect([first, result]).toMatchObject([{ type: 'run' }, { type: 'result', status: 'completed', step: 16 }]);
    for (const event of events) expectEvent(event);
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(['start', 'log', 'eval', 'generation', 'end']));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  });

  it('compares: each text has the hash of the folder it came from, and the tuned model knows the data better', async () => {
    const { status, objects } = await tuneyard('compare', 'model', 'run', '--recipe', recipe, '--json');
    expect(status).toBe(0);
    const report = objects<CompareReport>().at(-1);
    const hashes = await Promise.all([hashOfFolder(join(dir, 'model')), hashOfFolder(join(run(), 'model'))]);
    expect(hashes[0]).not.toBe(hashes[1]);
    expect(report?.models.map(({ weights }) => weights)).toEqual(hashes);
    for (const row of report!.cells) expect(row.map(({ weights }) => weights)).toEqual(hashes);
    const [base, tuned] = report!.models;
    expect(tuned!.perplexity).toBeLessThan(base!.perplexity!);
  });

  it('draws the same text with the same seed, and another with another', async () => {
    const words = ['generate', 'run', '--prompt', 'the mage', '--set', 'generation.do_sample=true', '--json'];
    const texts: string[] = [];
    for (const seed of [5, 5, 6]) {
      const { objects } = await tuneyard(...words, '--set', `generation.seed=${seed}`);
      texts.push(objects<GenerateResult>()[0]!.text);
    }
    expect(texts[0]).toBe(texts[1]);
    expect(texts[2]).not.toBe(texts[0]);
  });

  it('evaluates, exports the very model that was trained, and finds the run in the list', async () => {
    const [evaluation] = (await tuneyard('eval', 'run', '--json')).objects<EvalResult>();
    const lines = readFileSync(join(run(), 'events.jsonl'), 'utf8').trim().split('\n');
    const said = lines.map((line) => JSON.parse(line) as RunEvent).findLast(({ type }) => type === 'eval');
    expect(evaluation?.eval_loss).toBe(said?.type === 'eval' ? said.eval_loss : undefined);

    const [exported] = (await tuneyard('export', 'run', '--out', 'out', '--json')).objects<ExportResult>();
    expect(exported?.weights).toBe(evaluation?.weights);
    const [out, model] = [join(dir, 'out'), join(run(), 'model')];
    expect(readdirSync(out).sort()).toEqual(readdirSync(model).sort());
    for (const name of readdirSync(model)) {
      expect(readFileSync(join(out, name)).equals(readFileSync(join(model, name))), name).toBe(true);
    }

    const trained = await tuneyard('train', recipe, '--set', 'max_steps=1', '--quiet');
    expect([trained.status, trained.stderr]).toEqual([0, '']);
    expect((await tuneyard('runs', '--json')).objects<RunSummary>()).toMatchObject([
      { state: 'completed', step: 1, total_steps: 1 },
      { id: 'run', dir: run(), state: 'completed' },
    ]);
  });
});
