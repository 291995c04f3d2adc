/** Recipes as the extension proposes and checks them, by the runner as it is shipped. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { gatherDataFacts } from '@host/recipes/dataFacts';
import { estimateText } from '@host/recipes/estimateText';
import { findingOf } from '@host/recipes/findings';
import { LocalRunner } from '@host/recipes/localRunner';
import { readModelFolder } from '@host/recipes/modelFolder';
import { proposeRecipe } from '@host/recipes/proposeRecipe';
import { parseRecipe } from '@host/recipes/recipeText';
import { joinPlanes } from '@host/recipes/weightPlanes';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildRunner, runRunner } from '../support/runner';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXAMPLE = join(ROOT, 'examples/default');
const DATA = join(EXAMPLE, 'backstories.jsonl');
const MODEL = join(EXAMPLE, 'model');
let dir: string;
/** As it lies in the installed extension: without packages, ONNX Runtime among them. */
let local: LocalRunner;
beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-recipes-'));
  const installed = join(dir, 'remote-runner');
  for (const part of ['bin', 'dist', 'package.json']) {
    await cp(join(ROOT, 'remote-runner', part), join(installed, part), { recursive: true });
  }
  local = new LocalRunner(join(installed, 'bin/tuneyard.mjs'), () => 'http://127.0.0.1:9');
});
afterAll(() => rm(dir, { recursive: true }));

const write = async (name: string, content: string) => {
  await writeFile(join(dir, name), content);
  return join(dir, name);
};
const here = (path: string) => ({ look: local, path, isHub: false });
const rows = (values: object[]) => values.map((value) => JSON.stringify(value)).join('\n');

describe('a recipe proposed for data', () => {
  it('of the example counts its tokens, takes its prompts, and trains', async () => {
    const facts = await gatherDataFacts(here(DATA), MODEL);
    expect(facts).toMatchObject({ rows: 400, unit: 'tokens', max: 201, targetColumn: 'target' });
    expect(facts.prompts[0]).toBe('Character: Silas Rush, orc rogue of the Red Cliffs\nBackstory:');
    const model = (await readModelFolder(MODEL))!;
    expect(model).toMatchObject({ isSupported: true, maxPositions: 256 });
    expect(model.parameters).toBeGreaterThan(2.6e6);
    const text = proposeRecipe({ dataset: DATA, data: facts, model: { ...model, name: MODEL }, method: 'full' });
    const recipe = await write('proposed.tune.json', text);
    const set = ['max_steps=1', 'dataset.max_eval_samples=2', 'generation.max_new_tokens=2'];
    const { status, stderr } = await runRunner(
      ['train', recipe, '--run-dir', join(dir, 'run'), ...set.flatMap((setting) => ['--set', setting])],
      { home: dir },
    );
    expect([status, stderr]).toEqual([0, '']);
  });

  it('with columns of other names says how a row becomes a text', async () => {
    const data = await write('qa.csv', 'id,question,answer\n1,Who?,Me.\n2,Where?,Here.\n');
    expect(await gatherDataFacts(here(data), undefined)).toMatchObject({
      template: '{question}\n{answer}',
      targetColumn: 'answer',
      unit: 'words',
      prompts: ['Who?', 'Where?'],
    });
  });

  it('counts words, with room for more tokens in scripts that need them, where the model is not on this machine', async () => {
    const english = await write('en.jsonl', rows([{ text: 'The whale swam on and on and on.' }]));
    const chinese = await write('zh.jsonl', rows([{ text: '床前明月光，疑是地上霜。' }]));
    const [en, zh] = await Promise.all([english, chinese].map((file) => gatherDataFacts(here(file), 'a/model')));
    expect(en).toMatchObject({ unit: 'words', prompts: ['The whale swam on and on'] });
    expect(zh!.tokensPerUnit * zh!.median).toBeGreaterThan(20);
    expect(en!.tokensPerUnit).toBeLessThan(2);
  });

  it('is refused with the reason where the data cannot be trained on', async () => {
    const data = await write('none.jsonl', rows([{ a: 'x', b: 'y' }]));
    await expect(gatherDataFacts(here(data), undefined)).rejects.toMatchObject({ code: 'column_missing' });
    const broken = await write('broken.jsonl', '{"text": "a"}\n{"text": \n');
    await expect(gatherDataFacts(here(broken), undefined)).rejects.toMatchObject({ place: { line: 2 } });
  });

  it('can be given up while the data is being looked at', async () => {
    const giveUp = new AbortController();
    const facts = gatherDataFacts(here(DATA), MODEL, giveUp.signal);
    giveUp.abort();
    await expect(facts).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('what is wrong with a saved recipe', () => {
  it.each<[string, object, string]>([
    [
      'a column that the template names and the data has not',
      { dataset: { path: DATA, template: '{txt}' } },
      'dataset.template',
    ],
    [
      'a target column that the data has not',
      { dataset: { path: DATA, target_column: 'answer' } },
      'dataset.target_column',
    ],
    ['a mistyped key', { dataset: DATA, lerning_rate: 1 }, 'lerning_rate'],
    ['a model folder without a model', { dataset: DATA, model: '.' }, 'model'],
  ])('%s is found at its key', async (_, recipe, key) => {
    const content = { model: MODEL, ...recipe };
    const file = await write('wrong.tune.json', JSON.stringify(content));
    const error = await local.run<Estimate>(['estimate', file], { offline: true }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TuneyardError);
    expect(findingOf(error as TuneyardError, content)?.key.join('.')).toBe(key);
  });

  it('is not a model that is on the hub only', async () => {
    const file = await write('hub.tune.json', JSON.stringify({ model: 'a/model', dataset: DATA }));
    await expect(local.run(['estimate', file], { offline: true })).rejects.toMatchObject({ code: 'hub_failed' });
  });
});

describe('the estimate of memory', () => {
  it('says for each host whether it fits', async () => {
    const estimate = await local.run<Estimate>(['estimate', join(EXAMPLE, 'default.tune.json')]);
    const text = estimateText('default', estimate, [
      { label: 'This machine', bytes: 8e9, kind: 'cpu' },
      { label: 'tiny', bytes: 1e6, kind: 'gpu' },
    ]);
    expect(text).toMatch(/✓ This machine: fits\. It needs \d+ MB of 8 GB free\./);
    expect(text).toMatch(/✗ tiny: does not fit\./);
    expect(text).toMatch(/^On one GPU: \d+ MB; T4, V100, L4, A100 40 GB, H100, A100 80 GB, H200 have so much\.$/m);
    const large = estimateText('large', { ...estimate, peak_bytes: 60e9 }, []);
    expect(large).toMatch(/; H100, A100 80 GB, H200 have so much\.$/m);
    const crowded = { ...estimate, peak_bytes: 30e9, optimizer_bytes: 12e9 };
    expect(estimateText('crowded', crowded, [])).toMatch(
      /^With "offload_optimizer": 1[\d.]+ GB; L4, A100 40 GB, H100/m,
    );
    const layers = { ...crowded, peak_bytes: 90e9, offloadable_bytes: 80e9 };
    expect(estimateText('layers', layers, [])).toMatch(/^With "offload_param": 9\.[\d]+ GB; T4, V100, L4/m);
    expect(estimateText('huge', { ...estimate, peak_bytes: 200e9 }, [])).toMatch(/more than any of them has\.$/m);
  });
});

describe('the example that is shipped', () => {
  it('unpacks to a model and a recipe that train', async () => {
    const packed = join(ROOT, 'dist/example');
    const target = join(dir, 'example');
    await mkdir(join(target, 'model'), { recursive: true });
    for (const file of [
      'backstories.jsonl',
      'backstories.tune.json',
      ...['config', 'tokenizer', 'tokenizer_config'].map((name) => `model/${name}.json`),
    ]) {
      await writeFile(join(target, file), await readFile(join(packed, file)));
    }
    const weights = await promisify(brotliDecompress)(await readFile(join(packed, 'model/weights.br')));
    await writeFile(join(target, 'model/model.safetensors'), joinPlanes(weights));

    const text = await readFile(join(target, 'backstories.tune.json'), 'utf8');
    expect(parseRecipe(text)).toMatchObject({ isSound: true, value: { model: './model' } });
    expect(text).not.toContain('$schema');
    const evaluated = async (model: string) => {
      const argv = ['eval', model, '--recipe', join(target, 'backstories.tune.json'), '--json'];
      const [result] = (await runRunner(argv, { home: dir })).objects<{ eval_loss: number }>().slice(-1);
      return result!.eval_loss;
    };
    const [ours, theirs] = [await evaluated(join(target, 'model')), await evaluated(MODEL)];
    expect(Math.abs(ours - theirs)).toBeLessThan(0.01);
  });
});
