import { openWeights } from '@runner/hub/safetensors';
import { describe, expect, it } from 'vitest';
import {
  deviation,
  hasNoEffect,
  modelDirOf,
  REFERENCE_MODELS,
  REFERENCE_VARIANTS,
  readCase,
  readTraining,
  TRAINING_RUNS,
} from './fixtures';

describe('the reference fixtures', () => {
  it.each([...REFERENCE_MODELS, ...REFERENCE_VARIANTS])('%s: a loss is that of its logits and labels', async (name) => {
    const reference = await readCase(name);
    for (const [number, batch] of reference.batches.entries()) {
      const [rows, width, vocab] = reference.tensors.shape(`${number}.logits`) as [number, number, number];
      const logits = await reference.tensors.read(`${number}.logits`);
      let sum = 0;
      let supervised = 0;
      for (let row = 0; row < rows; row++) {
        for (let t = 1; t < width; t++) {
          const label = batch.labels[row]![t]!;
          if (label === -100) continue;
          const start = (row * width + t - 1) * vocab;
          const scores = logits.subarray(start, start + vocab);
          sum += Math.log(scores.reduce((total, score) => total + Math.exp(score), 0)) - scores[label]!;
          supervised++;
        }
      }
      expect(supervised).toBe(batch.supervised);
      expect(deviation([sum / supervised], [batch.loss])).toBeLessThan(1e-5);
    }
  });

  it.each(REFERENCE_MODELS)('%s: every parameter of the weight file has a gradient of its shape', async (name) => {
    const { parameters, tensors } = await readCase(name);
    const weights = await openWeights(modelDirOf(name));
    expect([...parameters].sort()).toEqual(weights.names().sort());
    for (const parameter of parameters) {
      expect(tensors.shape(`0.grad.${parameter}`), parameter).toEqual(weights.info(parameter).shape);
      if (hasNoEffect(parameter)) continue;
      expect(Math.max(...(await tensors.read(`1.grad.${parameter}`)).map(Math.abs)), parameter).toBeGreaterThan(1e-4);
    }
  });

  it.each(TRAINING_RUNS)('%s: each training step says how many tokens it learnt from', async (name) => {
    const run = await readTraining(name);
    for (const step of run.steps) {
      const labels = step.batches.flat().flatMap((index) => run.samples[index]!.labels.slice(1));
      expect(labels.filter((label) => label !== -100)).toHaveLength(step.supervised);
    }
  });
});

describe('deviation', () => {
  it('does not let a NaN or a missing number pass', () => {
    expect(deviation([1, Number.NaN], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(deviation([Number.NaN, 1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(deviation([1], [1, 2])).toBe(Number.POSITIVE_INFINITY);
    expect(deviation([1, 2.5], [1, 2])).toBe(0.25);
  });
});
