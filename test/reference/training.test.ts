import { describe, expect, it } from 'vitest';
import { deviation, TRAINING_RUNS } from './fixtures';
import { trainReference } from './trainReference';

describe.each(TRAINING_RUNS)('%s', (name) => {
  it('follows transformers’ Trainer step by step: loss, norm, rate and the weights in the end', async () => {
    const { reference, logs, parameters, savedName } = await trainReference(name);
    expect(logs.length).toBe(reference.steps.length);
    reference.steps.forEach((expected, i) => {
      const log = logs[i]!;
      expect(Math.abs(log.loss / expected.loss - 1), `loss of step ${i + 1}`).toBeLessThan(1e-3);
      expect(Math.abs(log.grad_norm / expected.grad_norm - 1), `norm of step ${i + 1}`).toBeLessThan(2e-3);
      expect(log.learning_rate, `rate of step ${i + 1}`).toBeCloseTo(expected.learning_rate, 9);
      expect(log.supervised_tokens).toBe(expected.supervised);
    });
    for (const tensor of parameters.layout.tensors) {
      const ours = parameters.slice(tensor.name);
      expect(deviation(ours, await reference.finalParameters.read(savedName(tensor.name))), tensor.name).toBeLessThan(
        5e-3,
      );
    }
  });
});
