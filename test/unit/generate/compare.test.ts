import { type ComparedModel, compareTexts, type OpenModel } from '@runner/generate/compare';
import { generate } from '@runner/generate/generate';
import { textMetrics } from '@runner/generate/metrics';
import { describe, expect, it } from 'vitest';
import { generationOptions, TinyRnn } from './tinyRnn';

/** The tiny model's 31 tokens as text: syllables that make words. */
const syllables = Array.from(
  { length: 31 },
  (_, id) => (id % 3 === 0 ? ' ' : '') + String.fromCharCode(97 + (id % 26)),
);
const tokenizer = {
  encodeStart: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) % 31),
  decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => syllables[id]).join(''),
};
const options = generationOptions({ do_sample: true, max_new_tokens: 30, seed: 9 });
const prompts = ['abc', 'zy'];

function model(label: string, variant: number, more: Partial<ComparedModel & OpenModel> = {}) {
  const decoder = new TinyRnn({ variant });
  const state = { open: 0 };
  const { step, expectedWeights, ...opened } = more;
  const compared: ComparedModel = {
    label,
    ...(step !== undefined && { step }),
    ...(expectedWeights !== undefined && { expectedWeights }),
    open: async () => {
      state.open++;
      return { decoder, tokenizer, release: () => void state.open--, ...opened };
    },
  };
  return { compared, decoder, state };
}

describe('compareTexts', () => {
  it('puts under each model what that model writes, stamped with the hash of its own weights', async () => {
    const base = model('base', 0);
    const tuned = model('step 40', 1, { step: 40 });
    const report = await compareTexts({ models: [base.compared, tuned.compared], prompts, options });
    expect(report.models.map(({ label, step, weights }) => ({ label, step, weights }))).toEqual([
      { label: 'base', step: undefined, weights: base.decoder.weights },
      { label: 'step 40', step: 40, weights: tuned.decoder.weights },
    ]);
    expect(base.decoder.weights).not.toBe(tuned.decoder.weights);
    for (const [column, { decoder }] of [base, tuned].entries()) {
      const alone = await generate({ decoder, tokenizer, prompts, options });
      expect(report.cells.map((row) => row[column]!.text)).toEqual(alone.map(({ text }) => text));
      expect(report.cells.map((row) => row[column]!.weights)).toEqual([decoder.weights, decoder.weights]);
      expect(report.models[column]!.metrics).toEqual(textMetrics(alone.map(({ text }) => text)));
    }
    expect(report.warnings).toEqual([]);
    expect([base.state.open, tuned.state.open]).toEqual([0, 0]);
  });

  it('says so where two columns are one and the same model', async () => {
    const report = await compareTexts({
      models: [model('base', 0).compared, model('tuned', 0).compared],
      prompts,
      options,
    });
    expect(report.warnings).toEqual([expect.stringMatching(/"base" and "tuned" are the same weights/)]);
    expect(report.cells[0]![0]!.text).toBe(report.cells[0]![1]!.text);
  });

  it('refuses a checkpoint that is not the one it was asked for', async () => {
    const { compared, state } = model('step 40', 1, { expectedWeights: 'sha256:000000000000' });
    const running = compareTexts({ models: [compared], prompts, options });
    await expect(running).rejects.toMatchObject({ code: 'checkpoint_invalid' });
    expect(state.open).toBe(0);
  });

  it('refuses where training changed the weights while they were compared', async () => {
    const { compared, decoder } = model('base', 0, {
      perplexity: async () => {
        decoder.train();
        return 3;
      },
    });
    await expect(compareTexts({ models: [compared], prompts, options })).rejects.toMatchObject({ code: 'internal' });
  });

  it('reports each model’s perplexity under that model, and none where it is not measured', async () => {
    const report = await compareTexts({
      models: [
        model('base', 0, { perplexity: async () => 41 }).compared,
        model('tuned', 1, { perplexity: async () => 7 }).compared,
        model('other', 2).compared,
      ],
      prompts,
      options,
    });
    expect(report.models.map(({ perplexity }) => perplexity)).toEqual([41, 7, undefined]);
  });

  it('holds one model in memory at a time', async () => {
    const models = [model('a', 0), model('b', 1), model('c', 2)];
    await compareTexts({
      models: models.map(({ compared }) => compared),
      prompts,
      options,
      onProgress: () => expect(models.reduce((sum, { state }) => sum + state.open, 0)).toBe(0),
    });
  });

  it('tells which model’s text was cut short by its positions', async () => {
    const decoder = new TinyRnn({ maxLength: 20 });
    const report = await compareTexts({ models: [model('base', 0, { decoder }).compared], prompts, options });
    expect(report.warnings[0]).toMatch(/^base: Prompt 1 has 3 tokens/);
  });

  it('can be cancelled between two models', async () => {
    const abort = new AbortController();
    const first = model('a', 0, { release: () => abort.abort() });
    const second = model('b', 1);
    const running = compareTexts({
      models: [first.compared, second.compared],
      prompts,
      options,
      signal: abort.signal,
    });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect(second.state.open).toBe(0);
    expect(second.decoder.steps).toBe(0);
  });

  it('asks for what is missing', async () => {
    const one = model('base', 0).compared;
    for (const input of [
      { models: [], prompts },
      { models: [one], prompts: [] },
      { models: [one, one], prompts },
    ]) {
      await expect(compareTexts({ ...input, options })).rejects.toMatchObject({ code: 'usage' });
    }
  });
});
