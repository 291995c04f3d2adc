import { Random } from '@runner/data/random';
import { permutation, shuffledOrder, trainTestSplit } from '@runner/data/split';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** PCG32 once more, in the 64-bit arithmetic of its paper. */
function* pcg32(seed: bigint, stream: bigint): Generator<number> {
  const mask = (1n << 64n) - 1n;
  const increment = ((stream << 1n) | 1n) & mask;
  const step = (state: bigint) => (state * 6364136223846793005n + increment) & mask;
  let state = step((step(0n) + seed) & mask);
  for (;;) {
    const old = state;
    state = step(state);
    const xorshifted = (((old >> 18n) ^ old) >> 27n) & 0xffffffffn;
    const rotation = old >> 59n;
    yield Number(((xorshifted >> rotation) | (xorshifted << (-rotation & 31n))) & 0xffffffffn);
  }
}

describe('Random', () => {
  it('gives the published numbers of PCG32 for seed 42, stream 54', () => {
    const random = new Random(42, 54);
    const first = Array.from({ length: 6 }, () => random.nextUint32());
    expect(first).toEqual([0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e]);
  });

  it('agrees with 64-bit arithmetic for every seed and stream', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 2 ** 52 - 1 }), (seed, stream) => {
        const random = new Random(seed, stream);
        const reference = pcg32(BigInt(seed), BigInt(stream));
        for (let i = 0; i < 8; i++) expect(random.nextUint32()).toBe(reference.next().value);
      }),
    );
  });

  it('draws whole numbers without leaning to any of them', () => {
    const random = new Random(1);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.nextInt(7)]!++;
    // five standard deviations of a binomial with n = 70,000, p = 1/7
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * 93);
  });

  it('draws floats from 0 to below 1 with mean one half', () => {
    const random = new Random(3);
    const values = Array.from({ length: 20_000 }, () => random.nextFloat());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(values.reduce((a, b) => a + b) / values.length).toBeCloseTo(0.5, 1);
  });
});

describe('the split and the order of an epoch', () => {
  it('use every row once, whatever the numbers', () => {
    fc.assert(
      fc.property(fc.nat(200), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (n, testSize, seed) => {
        const { train, test } = trainTestSplit(n, testSize, seed);
        expect([...train, ...test].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        if (testSize < 1 && n > 0) expect(train.length).toBeGreaterThan(0);
      }),
    );
  });

  it('hold out the share that was asked for, rounded up, in spite of rounding errors', () => {
    expect(trainTestSplit(30, 0.1, 0).test).toHaveLength(3);
    expect(trainTestSplit(31, 0.1, 0).test).toHaveLength(4);
    expect(trainTestSplit(1, 0.5, 0)).toEqual({ train: Uint32Array.of(0), test: new Uint32Array(0) });
    expect(trainTestSplit(5, 0, 0).test).toHaveLength(0);
  });

  it('repeat for the same seed, so that a resumed run sees the same data, and differ from epoch to epoch', () => {
    expect(shuffledOrder(50, 7, 2)).toEqual(shuffledOrder(50, 7, 2));
    expect(shuffledOrder(50, 7, 2)).not.toEqual(shuffledOrder(50, 7, 3));
    expect(shuffledOrder(50, 7, 2)).not.toEqual(shuffledOrder(50, 8, 2));
    expect(trainTestSplit(50, 0.2, 7)).toEqual(trainTestSplit(50, 0.2, 7));
  });

  it('give every order of three the same chance', () => {
    const random = new Random(11);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6_000; i++) {
      const key = permutation(3, random).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(5 * 29);
  });
});
