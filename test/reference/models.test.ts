import { describe, expect, it } from 'vitest';
import { batchOf, gradientDeviations, logitsOf, lossOf, openReference } from './evaluation';
import { deviation, GRADIENT_MODELS, REFERENCE_MODELS, REFERENCE_VARIANTS, readCase } from './fixtures';

const TOLERANCE = 1e-4;

describe.each([...REFERENCE_MODELS, ...REFERENCE_VARIANTS])('%s', (name) => {
  it('gives the logits and the loss of transformers, or every fine-tune would start from another model', async () => {
    const reference = await readCase(name);
    const opened = await openReference(name);
    for (const [n, batch] of reference.batches.entries()) {
      const collated = batchOf(batch, opened.model);
      expect(collated.rows.length).toBe(batch.supervised);
      expect(deviation([await lossOf(opened, batch)], [batch.loss])).toBeLessThan(TOLERANCE);
      const logits = await logitsOf(opened, batch);
      const expected = await reference.tensors.read(`${n}.logits`);
      expect(deviation(logits, expected)).toBeLessThan(TOLERANCE);
      const { vocabSize } = opened.model;
      const likeliest = (row: number) => {
        const scores = expected.subarray(row * vocabSize, (row + 1) * vocabSize);
        return scores.indexOf(Math.max(...scores));
      };
      const { correct } = await opened.step.evaluate(collated);
      expect(correct).toBe(collated.targets.filter((target, i) => likeliest(collated.rows[i]!) === target).length);
    }
    await opened.step.release();
  });
});

describe.each(GRADIENT_MODELS)('%s', (name) => {
  it('gives every gradient of transformers, alone and added up, or it would learn something else', async () => {
    const reference = await readCase(name);
    const opened = await openReference(name);
    const found = await gradientDeviations(opened, reference);
    expect(found.map(({ parameter }) => parameter).sort()).toEqual([...reference.parameters].sort());
    for (const { parameter, alone, added } of found) {
      expect(alone, parameter).toBeLessThan(TOLERANCE);
      expect(added, `${parameter}, added up`).toBeLessThan(TOLERANCE);
    }
    await opened.step.release();
  });
});
