import { CHUNK_SIZE } from '@runner/optim/elementwise';
import { describe, expect, it } from 'vitest';
import { setUp } from './support';

const RATE = 0.01;
const DECAY = 0.1;

/** One AdamW step from zero moments, in double precision: m̂ = g, v̂ = g². */
const stepped = (p: number, g: number, decays: boolean) =>
  p * (decays ? 1 - RATE * DECAY : 1) - (RATE * g) / (Math.abs(g) + 1e-8);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);

describe.each([
  ['smaller than a chunk', 48, 16],
  ['a chunk exactly, of which nothing decays', 0, CHUNK_SIZE],
  ['a chunk exactly, all of which decays', CHUNK_SIZE, 0],
  ['a border inside the first chunk', 1008, CHUNK_SIZE],
  ['chunks with a rest on either side of the border', 2 * CHUNK_SIZE + 16, CHUNK_SIZE + 4000],
  ['a border between two chunks', CHUNK_SIZE, CHUNK_SIZE],
])('an arena of %s', (_, decayed, others) => {
  it.each([
    ['graphs', false],
    ['kernels', true],
  ])('has every weight updated once, and decayed where it should be, by %s', async (_, together) => {
    const specs = [
      ...(decayed ? [{ name: 'weight', shape: [decayed], decay: true }] : []),
      ...(others ? [{ name: 'bias', shape: [others], decay: false }] : []),
    ];
    const { optimizer, parameters, gradients } = await setUp('adamw', specs, { weight_decay: DECAY }, together);
    const size = decayed + others;
    for (let i = 0; i < size; i++) {
      parameters.data[i] = Math.sin(i);
      gradients.data[i] = Math.cos(3 * i) + 1.5;
    }
    const given = gradients.data.slice();
    await optimizer.step({ learningRate: RATE, gradientScale: 1, step: 1 });
    let worst = 0;
    for (let i = 0; i < size; i++) {
      const expected = stepped(Math.fround(Math.sin(i)), given[i]!, i < decayed);
      const gap = Math.abs(parameters.data[i]! - expected);
      if (!(gap <= worst)) worst = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
    }
    // The decay is up to 1e-3, the update 1e-2: what is left out or done twice shows.
    expect(worst).toBeLessThan(5e-7);
    expect(Buffer.compare(bytesOf(gradients.data), bytesOf(given)), 'gradients changed').toBe(0);
    await optimizer.release();
  });
});

describe('padding between tensors', () => {
  it('stays zero, so that norms and checkpoints see nothing there', async () => {
    for (const name of ['adamw', 'adam', 'sgd', 'adagrad', 'adafactor'] as const) {
      const specs = [
        { name: 'a', shape: [3, 5], decay: true },
        { name: 'b', shape: [7], decay: false },
      ];
      const { optimizer, parameters, gradients } = await setUp(name, specs, { weight_decay: DECAY, sgd_momentum: 0.9 });
      for (const arena of [parameters, gradients]) for (const tensor of ['a', 'b']) arena.slice(tensor).fill(0.5);
      for (const step of [1, 2]) await optimizer.step({ learningRate: RATE, gradientScale: 1, step });
      expect([...parameters.data.subarray(15, 16), ...parameters.data.subarray(23)], name).toEqual(Array(10).fill(0));
      await optimizer.release();
    }
  });
});
