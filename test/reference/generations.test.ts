import { describe, expect, it } from 'vitest';
import { decodeCase, tokensOf } from './decodeCase';
import { deviation, GENERATION_MODELS, modelDirOf, readCase, readGenerations } from './fixtures';
import { PlainGpt } from './plainGpt';

describe.each(GENERATION_MODELS)('%s', (name) => {
  it('the plain model these searches run on is the reference model', async () => {
    const { batches, tensors } = await readCase(name);
    const model = await PlainGpt.open(modelDirOf(name));
    const logits = await tensors.read('0.logits');
    const width = batches[0]!.input_ids[0]!.length;
    for (const [row, length] of batches[0]!.lengths.entries()) {
      const prompt = Int32Array.from(batches[0]!.input_ids[row]!.slice(0, length));
      const last = (row * width + length - 1) * model.vocabSize;
      const state = await model.prefill([prompt], 1);
      expect(deviation(state.logits, logits.subarray(last, last + model.vocabSize))).toBeLessThan(1e-5);
    }
  });

  const reference = readGenerations(name);
  it.each(
    reference.cases.map((entry) => [`${JSON.stringify(entry.options)} eos ${entry.eos_token_id}`, entry] as const),
  )('a batch of prompts gives transformers’ tokens: %s', async (_name, entry) => {
    const model = await PlainGpt.open(modelDirOf(name));
    const { tokens, scoreDeviation } = await decodeCase(model, reference, entry);
    expect(tokens).toEqual(tokensOf(entry));
    expect(scoreDeviation).toBeLessThan(1e-5);
  });
});
