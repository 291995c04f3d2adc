import { NativeEngine } from '@runner/engine/native';
import { ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { describe, expect, it } from 'vitest';
import { engine, newBuilder } from './support';

async function normOf(gradients: Float32Array, on = engine): Promise<number> {
  const norm = await createGradientNorm({ engine: on, newBuilder, gradients });
  const value = await norm();
  await norm.release();
  return value;
}

const waves = (length: number) => Float32Array.from({ length }, (_, i) => Math.cos(i) * 10 ** (i % 7));

describe('the gradient norm', () => {
  it.each([1, 16, 1023, 1024, 1040, 262_144, 262_144 + 5 * 1024 + 48])('counts every one of %i floats', async (n) => {
    const gradients = waves(n);
    let sum = 0;
    for (const value of gradients) sum += value * value;
    expect(Math.abs((await normOf(gradients)) / Math.sqrt(sum) - 1)).toBeLessThan(1e-6);
    // The last float is the one that a wrong border would lose.
    gradients.fill(0);
    gradients[n - 1] = 3;
    expect(await normOf(gradients)).toBe(3);
  });

  it('follows the buffer from step to step', async () => {
    const gradients = new Float32Array(2048).fill(1);
    const norm = await createGradientNorm({ engine, newBuilder, gradients });
    expect(await norm()).toBeCloseTo(Math.sqrt(2048), 4);
    gradients.fill(2);
    expect(await norm()).toBeCloseTo(2 * Math.sqrt(2048), 4);
    await norm.release();
  });

  it('is the same bit for bit on one thread and on two, so that a resumed run clips alike', async () => {
    const gradients = waves(600_000);
    const one = await normOf(gradients, new NativeEngine(ops, { threads: 1 }));
    expect(await normOf(gradients, new NativeEngine(ops, { threads: 2 }))).toBe(one);
    expect(await normOf(gradients)).toBe(one);
  });

  it('shows a gradient that is not finite', async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const gradients = new Float32Array(5000);
      gradients[4999] = bad;
      expect(Number.isFinite(await normOf(gradients))).toBe(false);
    }
  });

  it('of nothing is zero', async () => {
    expect(await normOf(new Float32Array(0))).toBe(0);
  });
});
