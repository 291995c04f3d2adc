import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { KERNELS } from '@runner/optim/kernels/kernels';
import { ArenaMemory } from '@runner/train/arenaMemory';
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { engine, newBuilder, setUp } from './support';

const SOURCE = fileURLToPath(new URL('../../../remote-runner/src/optim/kernels/kernels.wat', import.meta.url));

async function normOf(gradients: Float32Array): Promise<number> {
  const norm = await createGradientNorm({ engine, newBuilder, gradients });
  return norm();
}

const inMemory = (length: number): Float32Array => ArenaMemory.open(length)!.floats(length)!;

describe('the kernels', () => {
  it('are those of their source', async () => {
    const module = (await wabt()).parseWat('kernels.wat', await readFile(SOURCE, 'utf8'), { simd: true });
    expect(Buffer.compare(KERNELS, Buffer.from(module.toBinary({}).buffer)), 'run npm run kernels').toBe(0);
  });

  it('move weights to the same bits as graphs do', async () => {
    const specs = [
      { name: 'weight', shape: [300, 48], decay: true },
      { name: 'bias', shape: [77], decay: false },
    ];
    for (const name of ['adam', 'adamw'] as const) {
      const both = [false, true].map((together) => setUp(name, specs, { weight_decay: 0.1 }, together));
      const [graphs, kernels] = await Promise.all(both);
      for (const step of [1, 2, 3, 4, 5]) {
        for (const { optimizer, parameters, gradients } of [graphs!, kernels!]) {
          for (const { name, size } of parameters.layout.tensors) {
            const [weights, slopes] = [parameters.slice(name), gradients.slice(name)];
            for (let i = 0; i < size; i++) {
              if (step === 1) weights[i] = Math.sin(i);
              slopes[i] = Math.cos(step * i) * 10 ** -(i % 9);
            }
          }
          await optimizer.step({ learningRate: 0.01, gradientScale: 0.3, step });
        }
      }
      expect(kernels!.parameters.data, name).toEqual(graphs!.parameters.data);
      for (const [i, { data }] of graphs!.optimizer.state.entries())
        expect(kernels!.optimizer.state[i]!.data, name).toEqual(data);
      await graphs!.optimizer.release();
    }
  });

  it('let no moment get stuck among denormals, which would make every later step slow', async () => {
    const { optimizer, parameters, gradients } = await setUp(
      'adamw',
      [{ name: 'x', shape: [64], decay: false }],
      { adam_beta1: 0.9, adam_beta2: 0.9 },
      true,
    );
    gradients.data.fill(1e-12);
    for (let step = 1; step <= 1500; step++) {
      if (step > 1) gradients.data.fill(0);
      await optimizer.step({ learningRate: 0.01, gradientScale: 1, step });
    }
    for (const { name, data } of optimizer.state) expect([...new Set(data)], name).toEqual([0]);
    expect(parameters.data.every((value) => value < 0 && value > -0.2)).toBe(true);
  });

  it('keep what is no number, so that a run sees that it has diverged', async () => {
    const { optimizer, parameters, gradients } = await setUp(
      'adamw',
      [{ name: 'x', shape: [32], decay: true }],
      {},
      true,
    );
    gradients.data.set([Number.NaN, Number.POSITIVE_INFINITY]);
    await optimizer.step({ learningRate: 0.01, gradientScale: 1, step: 1 });
    expect([...parameters.data.subarray(0, 3)]).toEqual([Number.NaN, Number.NaN, 0]);
    for (const { data } of optimizer.state) expect(Number.isFinite(data[0])).toBe(false);
  });

  it.each([16, 1008, 1024, 1040, 262_144 + 5 * 1024 + 48])('measure the norm of every one of %i floats', async (n) => {
    const gradients = inMemory(n);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      gradients[i] = Math.cos(i) * 10 ** (i % 7);
      sum += gradients[i]! ** 2;
    }
    expect(Math.abs((await normOf(gradients)) / Math.sqrt(sum) - 1)).toBeLessThan(1e-6);
    for (const at of [0, n - 1]) {
      gradients.fill(0);
      gradients[at] = 3;
      expect(await normOf(gradients)).toBe(3);
      gradients[at] = Number.NaN;
      expect(await normOf(gradients)).toBeNaN();
    }
  });
});

describe('the memory of arenas', () => {
  it('gives what was asked for and no more, side by side', () => {
    const memory = ArenaMemory.open(16_384)!;
    const [first, second] = [memory.floats(5)!, memory.floats(16_000)!];
    expect(second.byteOffset).toBe(64);
    expect(memory.floats(16_384)).toBeUndefined();
    expect(ArenaMemory.of(first, second)).toBe(memory);
    expect(ArenaMemory.of(first, new Float32Array(4))).toBeUndefined();
  });

  it('is not had beyond what its addresses reach: arenas then lie apart', () => {
    expect(ArenaMemory.open(2 ** 30)).toBeUndefined();
  });
});
