import { cp, mkdir, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generationSchema, recipeSchema } from '@protocol/recipe';
import { loadTokenizer } from '@runner/data/tokenizer';
import { hashWeights } from '@runner/hub/hash';
import { openModelDir } from '@runner/hub/modelDir';
import { compareJob } from '@runner/jobs/compareJob';
import { evalJob } from '@runner/jobs/evalJob';
import { exportJob } from '@runner/jobs/exportJob';
import { generateJob } from '@runner/jobs/generateJob';
import { locateModel, modelDirOf } from '@runner/jobs/openForDecoding';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PlainGpt } from '../../reference/plainGpt';
import { failure, temporaryFolders } from '../hub/support';
import { modelFolder, runFolder } from './namedModel';

const folder = temporaryFolders();
afterEach(() => {
  vi.unstubAllEnvs();
});

const generation = generationSchema.parse({ max_new_tokens: 12, do_sample: true, seed: 3 });
const PROMPTS = ['the old mage', 'a sword', 'the end of the road, and what lies behind'];

/** The name of the weights in a file, without the runner's loading. */
async function weightsOf(dir: string): Promise<string> {
  const { weights } = await openModelDir(dir);
  const tensors = weights.names().map(async (name) => {
    return { name, shape: weights.info(name).shape, data: await weights.readFloat32(name) };
  });
  return hashWeights(await Promise.all(tensors));
}

describe('a model’s name', () => {
  it('is a folder, relative to where it was written, or else what the hub calls it', async () => {
    const dir = await folder();
    const model = await modelFolder(join(dir, 'base'), 1);
    expect(await locateModel('base', dir)).toEqual({ name: model });
    expect(await locateModel('./base', dir)).toEqual({ name: model });
    expect(await modelDirOf(model, '/')).toBe(model);
    expect(await locateModel('owner/name', dir)).toEqual({ name: 'owner/name' });
  });

  it('may be a run: its final model, before that its last checkpoint that is whole', async () => {
    const dir = await folder();
    const run = await runFolder(join(dir, 'run'), [2, 4]);
    const checkpoint = (step: number) => join(run, 'checkpoints', `step-${step}`);
    expect(await locateModel('run', dir)).toEqual({ name: checkpoint(4), step: 4 });
    await truncate(join(checkpoint(4), 'model.safetensors'), 1000);
    expect(await locateModel('run', dir)).toEqual({ name: checkpoint(2), step: 2 });
    const final = await modelFolder(join(run, 'model'), 9);
    expect(await locateModel('run', dir)).toEqual({ name: final });
  });

  it('may be the id of a run, or a beginning of it', async () => {
    const home = await folder();
    vi.stubEnv('TUNEYARD_HOME', home);
    const run = await runFolder(join(home, 'runs', '20261122-143005-backstories-k3f9'), [3]);
    const found = { name: join(run, 'checkpoints', 'step-3'), step: 3 };
    expect(await locateModel('20261122-143005-backstories-k3f9', '/')).toEqual(found);
    expect(await locateModel('20261122-143005', '/')).toEqual(found);
    expect((await failure(locateModel('20261123-100000', '/'))).code).toBe('run_not_found');
  });

  it('that leads to a checkpoint cut short or to a run without one says so, and what to do', async () => {
    const dir = await folder();
    const run = await runFolder(join(dir, 'run'), [2]);
    const checkpoint = join(run, 'checkpoints', 'step-2');
    expect(await locateModel(checkpoint, '/')).toEqual({ name: checkpoint, step: 2 });
    await truncate(join(checkpoint, 'model.safetensors'), 1000);
    const damaged = await failure(locateModel(checkpoint, '/'));
    expect([damaged.code, damaged.message]).toEqual(['checkpoint_invalid', expect.stringMatching(/the one before it/)]);
    const none = await failure(locateModel(run, '/'));
    expect([none.code, none.message]).toEqual(['checkpoint_invalid', expect.stringContaining(checkpoint)]);
    const fresh = await failure(locateModel(await runFolder(join(dir, 'fresh'), []), '/'));
    expect([fresh.code, fresh.message]).toEqual(['checkpoint_invalid', expect.stringMatching(/first checkpoint/)]);
  });
});

describe('generating', () => {
  it('gives a text a prompt, streamed as it is, stamped with the file’s weights, and the same again', async () => {
    const dir = await folder();
    const model = await modelFolder(join(dir, 'base'), 1);
    const streamed = PROMPTS.map(() => '');
    const request = { model: 'base', baseDir: dir, prompts: PROMPTS, generation, device: 'cpu' };
    const texts = await generateJob({
      ...request,
      onText: (index, text) => {
        streamed[index] += text;
      },
    });
    expect(texts.map(({ prompt }) => prompt)).toEqual(PROMPTS);
    expect(texts.map(({ text }) => text)).toEqual(streamed);
    expect(texts.some(({ text }) => text.length > 3)).toBe(true);
    const weights = await weightsOf(model);
    for (const text of texts)
      expect(text).toMatchObject({ weights, finish_reason: expect.stringMatching(/length|eos/) });
    const words = (all: typeof texts) => all.map(({ text }) => text);
    expect(words(await generateJob(request))).toEqual(words(texts));
    const other = generationSchema.parse({ ...generation, seed: 4 });
    expect(words(await generateJob({ ...request, generation: other }))).not.toEqual(words(texts));
  });

  it('warns where the model’s positions end before max_new_tokens, and names a model that is not there', async () => {
    const dir = await folder();
    await modelFolder(join(dir, 'base'), 1);
    const warnings: string[] = [];
    const long = generationSchema.parse({ max_new_tokens: 100 });
    const request = { baseDir: dir, prompts: ['the'], generation: long, device: 'cpu' };
    const [text] = await generateJob({ ...request, model: 'base', onWarning: (message) => warnings.push(message) });
    expect(text!.text).not.toBe('');
    expect(warnings).toEqual([expect.stringContaining('80 positions')]);
    const missing = await failure(generateJob({ ...request, model: './bass' }));
    expect([missing.code, missing.exitStatus]).toEqual(['file_not_found', 2]);
  });

  it('stops when it is cancelled', async () => {
    const dir = await folder();
    await modelFolder(join(dir, 'base'), 1);
    const controller = new AbortController();
    const texts = generateJob({
      model: 'base',
      baseDir: dir,
      prompts: PROMPTS,
      generation,
      device: 'cpu',
      signal: controller.signal,
      onText: () => controller.abort(),
    });
    expect((await failure(texts)).code).toBe('cancelled');
  });
});

describe('comparing', () => {
  it('lets each model write its own column, and gives the perplexity of the held-out samples', async () => {
    const dir = await folder();
    const base = await modelFolder(join(dir, 'base'), 1);
    const run = await runFolder(join(dir, 'run'), [7]);
    const held = ['the old mage of the south', 'a sword and the road', 'the end'];
    await writeFile(join(dir, 'train.jsonl'), '{"text": "the old sword"}\n');
    await writeFile(join(dir, 'test.jsonl'), held.map((text) => `${JSON.stringify({ text })}\n`).join(''));
    const recipe = recipeSchema.parse({
      model: 'base',
      dataset: { path: 'train.jsonl', test_path: 'test.jsonl', append_eos: false },
      per_device_eval_batch_size: 2,
    });
    const checkpoint = join(run, 'checkpoints', 'step-7');
    const progress: unknown[] = [];
    const report = await compareJob({
      models: ['base', 'run'],
      baseDir: dir,
      prompts: PROMPTS,
      generation,
      device: 'cpu',
      recipe: { recipe, baseDir: dir },
      onProgress: (...said) => progress.push(said),
    });
    const weights = [await weightsOf(base), await weightsOf(checkpoint)];
    expect(report.models.map((model) => [model.label, model.step, model.weights])).toEqual([
      ['base', undefined, weights[0]],
      ['run', 7, weights[1]],
    ]);
    expect(report.cells.map((row) => row.map((cell) => cell.weights))).toEqual(PROMPTS.map(() => weights));
    expect(report.cells.every(([one, other]) => one!.text !== other!.text)).toBe(true);
    expect(progress).toEqual([
      ['base', 0, 2],
      ['run', 1, 2],
    ]);
    for (const [i, path] of [base, checkpoint].entries()) {
      const expected = await plainPerplexity(path, held);
      expect(report.models[i]!.perplexity! / expected).toBeCloseTo(1, 4);
      const alone = await evalJob({ recipe, baseDir: dir, model: path });
      expect([alone.weights, alone.eval_samples]).toEqual([weights[i], held.length]);
      expect(alone.eval_perplexity).toBe(report.models[i]!.perplexity);
    }
  });

  it('goes without perplexity, and says so, where the recipe holds nothing out', async () => {
    const dir = await folder();
    await modelFolder(join(dir, 'base'), 1);
    await writeFile(join(dir, 'train.jsonl'), '{"text": "the old sword"}\n');
    const recipe = recipeSchema.parse({ model: 'base', dataset: { path: 'train.jsonl', test_size: 0 } });
    const loaded = { recipe, baseDir: dir };
    const request = { models: ['base'], baseDir: dir, prompts: PROMPTS, generation, device: 'cpu', recipe: loaded };
    const { models, warnings } = await compareJob(request);
    expect([models[0]!.perplexity, warnings]).toEqual([undefined, [expect.stringContaining('no perplexity')]]);
    expect((await failure(evalJob(loaded))).code).toBe('dataset_empty');
  });

  it('finds a name that leads nowhere before any model has been at work', async () => {
    const dir = await folder();
    await modelFolder(join(dir, 'base'), 1);
    const progress: unknown[] = [];
    const report = compareJob({
      models: ['base', await runFolder(join(dir, 'run'), [])],
      baseDir: dir,
      prompts: PROMPTS,
      generation,
      device: 'cpu',
      onProgress: (...said) => progress.push(said),
    });
    expect((await failure(report)).code).toBe('checkpoint_invalid');
    expect(progress).toEqual([]);
  });
});

describe('exporting', () => {
  it('turns a checkpoint into a model folder of its own that is the same model', async () => {
    const dir = await folder();
    const run = await runFolder(join(dir, 'run'), [5]);
    const checkpoint = join(run, 'checkpoints', 'step-5');
    const { path, bytes, weights } = await exportJob({ from: run, out: join(dir, 'out') });
    expect([path, weights]).toEqual([join(dir, 'out'), await weightsOf(checkpoint)]);
    expect(await weightsOf(path)).toBe(weights);
    expect(bytes).toBeGreaterThan(1000);
    expect((await readdir(path)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const [text] = await generateJob({ model: path, baseDir: '/', prompts: ['a'], generation, device: 'cpu' });
    expect(text!.weights).toBe(weights);
  });

  it('writes over neither the model itself nor a person’s files', async () => {
    const dir = await folder();
    const base = await modelFolder(join(dir, 'base'), 1);
    expect((await failure(exportJob({ from: base, out: base }))).code).toBe('usage');
    await mkdir(join(dir, 'mine'));
    await cp(join(base, 'config.json'), join(dir, 'mine', 'thesis.txt'));
    expect((await failure(exportJob({ from: base, out: join(dir, 'mine') }))).code).toBe('not_writable');
    expect(await readdir(join(dir, 'mine'))).toEqual(['thesis.txt']);
  });
});

/** exp of the mean cross-entropy a token, in plain arithmetic. */
async function plainPerplexity(dir: string, texts: readonly string[]): Promise<number> {
  const model = await PlainGpt.open(dir);
  const tokenizer = await loadTokenizer(dir);
  let sum = 0;
  let count = 0;
  for (const text of texts) {
    const ids = tokenizer.encodeStart(text);
    const state = await model.prefill([ids.subarray(0, 1)], 1);
    for (const id of ids.subarray(1)) {
      const total = state.logits.reduce((all, logit) => all + Math.exp(logit), 0);
      sum += Math.log(total) - state.logits[id]!;
      count++;
      await state.step(Int32Array.of(id));
    }
  }
  return Math.exp(sum / count);
}
