import { describe, expect, it } from 'vitest';
import { PRECISION_RUNS, readPrecisions } from './fixtures';
import { trainReference } from './trainReference';

interface Figures {
  loss: number;
  grad_norm: number;
}

/** Root mean square, over the steps, of how far a figure lies from float32's, relative to that. */
function distance(of: keyof Figures, steps: readonly Figures[], float32: readonly Figures[]): number {
  const squares = steps.map((step, i) => (step[of] / float32[i]![of] - 1) ** 2);
  return Math.sqrt(squares.reduce((a, b) => a + b) / squares.length);
}

describe.each(PRECISION_RUNS)('%s', (name) => {
  it('in bf16 stays as near to float32 as transformers’ Trainer with bf16 does', async () => {
    const { reference, logs } = await trainReference(name, { bf16: true });
    const trainer = readPrecisions().bf16[name];
    for (const figure of ['loss', 'grad_norm'] as const) {
      const theirs = distance(figure, trainer, reference.steps);
      expect(distance(figure, logs, reference.steps), figure).toBeLessThan(1.5 * theirs);
    }
    expect(distance('loss', logs, reference.steps)).toBeGreaterThan(2e-5);
  });

  it('in fp16 is nearer, with its three bits more', async () => {
    const { reference, logs } = await trainReference(name, { fp16: true });
    for (const figure of ['loss', 'grad_norm'] as const) {
      const bf16 = distance(figure, readPrecisions().bf16[name], reference.steps);
      expect(distance(figure, logs, reference.steps), figure).toBeLessThan(bf16 / 3);
    }
    expect(distance('loss', logs, reference.steps)).toBeGreaterThan(5e-6);
  });
});
