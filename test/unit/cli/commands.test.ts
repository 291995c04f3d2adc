import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CompareReport } from '@protocol/compare';
import { gpuBytes } from '@protocol/gpuMemory';
import type { Check, Estimate, EvalResult, ExportResult, GenerateResult } from '@protocol/runner';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { screen, tinyProject, tuneyard } from './support';

let dir: string;
let recipe: string;
let run: string;
let id: string;

/** One trained model for all: it is only read. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-commands-'));
  vi.stubEnv('TUNEYARD_HOME', join(dir, 'home'));
  recipe = await tinyProject(dir, { max_steps: 12 });
  const result = (await tuneyard(['train', recipe, '--json'])).objects().at(-1);
  [id, run] = [String(result?.run), String(result?.run_dir)];
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true });
});

async function object<T>(argv: string[]): Promise<T> {
  const { status, stderr, objects } = await tuneyard([...argv, '--json']);
  expect([status, stderr]).toEqual([0, '']);
  const all = objects();
  // A comparison says on the way what it is at.
  if (argv[0] !== 'compare') expect(all).toHaveLength(1);
  return all.at(-1) as T;
}

describe('eval', () => {
  it('tells the loss of a run’s model by the run’s own recipe, as the run itself did', async () => {
    const trained = (await readFile(join(run, 'events.jsonl'), 'utf8')).split('\n').filter(Boolean);
    const said = trained.map((line) => JSON.parse(line)).findLast(({ type }) => type === 'eval');
    const result = await object<EvalResult>(['eval', run]);
    expect(result.eval_loss).toBeCloseTo(said.eval_loss, 5);
    expect(result).toEqual({ ...(await object<EvalResult>(['eval', id])), eval_runtime: result.eval_runtime });
    const { stdout } = await tuneyard(['eval', run]);
    expect(stdout).toContain(`(${result.weights})`);
    expect(stdout).toContain(result.eval_loss.toFixed(3));
  });

  it('takes a model from the folder that one works in, and another recipe’s data', async () => {
    const before = process.cwd();
    process.chdir(dir);
    const base = await object<EvalResult>(['eval', 'model', '--recipe', recipe]);
    process.chdir(before);
    expect(base.model).toBe(join(dir, 'model'));
    expect(base.eval_loss).toBeGreaterThan((await object<EvalResult>(['eval', id])).eval_loss);
  });
});

describe('generate', () => {
  it('writes a text a prompt, by the settings that are set', async () => {
    const words = ['--prompt', 'the old mage', '--prompt', 'a sword', '--set', 'generation.max_new_tokens=3'];
    const { status, stdout, objects } = await tuneyard(['generate', id, ...words, '--json']);
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    const texts = objects() as unknown as GenerateResult[];
    expect(texts.map(({ prompt, finish_reason }) => [prompt, finish_reason])).toEqual([
      ['the old mage', 'length'],
      ['a sword', 'length'],
    ]);
    const plain = (await tuneyard(['generate', id, ...words])).stdout;
    for (const { prompt, text, weights } of texts) {
      expect(plain).toContain(`${prompt}${text}\n`);
      expect(plain).toContain(weights);
    }
  });

  it('takes the prompts of the run’s recipe where none is given, and shows one text as it grows', async () => {
    const [only] = (await tuneyard(['generate', id, '--json'])).objects() as unknown as GenerateResult[];
    expect(only?.prompt).toBe('the old mage');
    const { stdout } = await tuneyard(['generate', id], { terminal: true });
    const shown = screen(stdout);
    expect(shown[0]).toBe(`the old mage${only?.text}`.trimEnd().padEnd(shown[0]!.length));
    expect(shown.join('\n')).not.toContain('…');
  });
});

describe('compare', () => {
  const both = () => [join(dir, 'model'), run];
  const prompts = ['--prompt', 'the old mage of the north and the road', '--prompt', 'a | b'];

  it('puts prompts down and models across, as wide as the terminal, with the hash of the weights under each text', async () => {
    const report = await object<CompareReport>(['compare', ...both(), ...prompts]);
    expect(report.models.map(({ label }) => label)).toEqual(both());
    expect(report.models.every(({ perplexity }) => perplexity !== undefined)).toBe(true);
    expect(report.models[0]!.weights).not.toBe(report.models[1]!.weights);

    const { stdout } = await tuneyard(['compare', ...both(), ...prompts], { columns: 90 });
    const lines = stdout.trimEnd().split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(90);
    for (const { weights } of report.models) expect(stdout.split(weights)).toHaveLength(1 + 2);
    expect(stdout).toMatch(/Perplexity .*\d\.\d\d/);
    expect(stdout).toMatch(/Unique words/);
  });

  it('cuts nothing off: names without spaces are broken, and where there is no room for columns they come in turn', async () => {
    const { models } = await object<CompareReport>(['compare', ...both(), ...prompts]);
    for (const columns of [70, 40]) {
      const { stdout } = await tuneyard(['compare', ...both(), ...prompts], { columns });
      expect(stdout).not.toContain('…');
      for (const { weights } of models) expect(stdout.split(weights)).toHaveLength(1 + 2);
    }
  });

  it('saves what it shows, as JSON or as Markdown in which no text breaks the table', async () => {
    const out = (name: string) => join(dir, name);
    const report = await object<CompareReport>(['compare', ...both(), ...prompts, '--out', out('c.json')]);
    const saved = JSON.parse(readFileSync(out('c.json'), 'utf8')) as CompareReport;
    expect(saved.models.map(({ weights }) => weights)).toEqual(report.models.map(({ weights }) => weights));
    await tuneyard(['compare', ...both(), ...prompts, '--out', out('c.md')]);
    const rows = readFileSync(out('c.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('|'));
    expect(rows).toHaveLength(2 + 2 + 3);
    for (const row of rows) expect(row.match(/\|/g)).toHaveLength(4);
    expect(rows[2]).toContain(`<br>\`${report.models[0]!.weights}\``);
  });
});

describe('preview', () => {
  it('shows what is learned of a dataset before a model is chosen', async () => {
    const { status, stdout } = await tuneyard(['preview', join(dir, 'data.jsonl')]);
    expect(status).toBe(0);
    expect(stdout).toContain('the mage 0 of the north⟦ and the sword of the south⏹⟧');
    expect(stdout).toMatch(/40: 36 to train on, 4 to evaluate on/);
    expect(stdout).toContain('"target" is learned');
  });

  it('counts with the recipe’s model and template, and lists the rows that training would refuse', async () => {
    const broken = join(dir, 'broken.jsonl');
    const good = await readFile(join(dir, 'data.jsonl'), 'utf8');
    await writeFile(broken, `${good}{"text": "a mage", "target": ""}\n`);
    const set = ['--set', 'dataset.template={text}:{target}', '--set', 'dataset.append_eos=false'];
    const { status, stdout } = await tuneyard(['preview', broken, '--recipe', recipe, ...set]);
    expect(status).toBe(0);
    expect(stdout).toContain('the mage 0 of the north:⟦ and the sword of the south⟧');
    expect(stdout).toMatch(/^Length .* tokens/m);
    expect(stdout).toMatch(/Training would refuse 1 row:\n {2}line 41: /);
    const data = await object<{ rows: number; unusable: { count: number } }>([
      'preview',
      broken,
      '--recipe',
      recipe,
      ...set,
    ]);
    expect([data.rows, data.unusable.count]).toEqual([41, 1]);
  });
});

describe('estimate', () => {
  it('tells memory and disk by what takes them, and what one real step took', async () => {
    const estimate = await object<Estimate>(['estimate', recipe, '--measure']);
    expect(estimate.measured?.peak_bytes).toBeGreaterThan(0);
    const { stdout } = await tuneyard(['estimate', recipe, '--measure']);
    expect(stdout).toContain('12 steps');
    for (const part of [
      'Weights',
      'Gradients',
      'Optimizer',
      'Activations',
      'Memory, peak',
      'Measured peak',
      'Disk, in all',
    ]) {
      expect(stdout).toMatch(new RegExp(`^${part} +\\d`, 'm'));
    }
    expect(stdout).toMatch(/A step took/);
    expect(stdout).toMatch(/^On one GPU: .* GB; fits T4, /m);
    const spread = await object<Estimate>(['estimate', recipe, '--set', 'world_size=4']);
    expect(spread.optimizer_bytes / estimate.optimizer_bytes).toBeCloseTo(0.25, 2);
    expect(spread.checkpoint_bytes).toBe(estimate.checkpoint_bytes);
    const offloaded = await object<Estimate>(['estimate', recipe, '--set', 'offload_optimizer=true']);
    expect(gpuBytes(estimate) - gpuBytes(offloaded)).toBe(estimate.optimizer_bytes);
    const streamed = await object<Estimate>(['estimate', recipe, '--set', 'offload_param=true', '--measure']);
    expect(gpuBytes(streamed)).toBeLessThan(gpuBytes(offloaded));
    expect(streamed.peak_bytes).toBe(estimate.peak_bytes);
  });
});

describe('export', () => {
  it('writes a run’s model where it is told to', async () => {
    const out = join(dir, 'exported');
    const result = await object<ExportResult>(['export', id, '--out', out]);
    expect(result.path).toBe(out);
    expect(result.weights).toBe((await object<EvalResult>(['eval', run])).weights);
    expect(existsSync(join(out, 'model.safetensors'))).toBe(true);
  });
});

describe('runs', () => {
  it('lists a run with its state, its progress and its losses', async () => {
    const { stdout } = await tuneyard(['runs']);
    expect(stdout).toMatch(new RegExp(`^${id} +completed +12/12 +\\d\\.\\d{3} +\\d\\.\\d{3} `, 'm'));
  });
});

describe('doctor', () => {
  it('finds that this machine computes', async () => {
    const { status, stdout, objects } = await tuneyard(['doctor', '--json']);
    expect(status).toBe(0);
    const checks = objects() as unknown as Check[];
    expect(stdout.trim().split('\n')).toHaveLength(checks.length);
    const find = (name: string) => checks.find((check) => check.name === name);
    expect(find('ONNX Runtime')).toMatchObject({ status: 'ok', detail: '1.29.0, computes' });
    expect(find('Node')).toMatchObject({ status: 'ok', detail: expect.stringContaining(process.version) });
    expect(find('MPI')?.detail).toMatch(/^(mpirun \(Open MPI\) [\d.]+|MPICH [\d.]+|none; world_size above 1 needs it)/);
    expect(checks.filter((check) => check.status !== 'ok').every((check) => check.remedy)).toBe(true);
  });

  it('fails, and says what to do, where runs cannot be written', async () => {
    const inTheWay = join(dir, 'a-file');
    await writeFile(inTheWay, '');
    vi.stubEnv('TUNEYARD_HOME', inTheWay);
    const { status, stdout } = await tuneyard(['doctor']);
    vi.stubEnv('TUNEYARD_HOME', join(dir, 'home'));
    expect(status).toBe(1);
    expect(stdout).toMatch(/✗ Disk .*a file is in the way/);
  });

  it('asks the hub only where it is told to', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9');
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    expect((await tuneyard(['doctor'])).stdout).not.toContain('Hub');
    const { status, stdout } = await tuneyard(['doctor', '--hub']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/! Hub .*127\.0\.0\.1:9 cannot be reached/);
    expect(stdout).not.toContain('hf_secret');
  });
});
