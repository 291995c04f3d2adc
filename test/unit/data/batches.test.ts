import { batchLength, bucketFor, chooseLengths } from '@runner/data/buckets';
import { collate } from '@runner/data/collate';
import { planEpoch, stepsPerEpoch } from '@runner/data/sampler';
import { datasetStats } from '@runner/data/stats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sample } from './support';

describe('collate', () => {
  it('pairs each position with the next token where that is learned, and pads on the right', () => {
    const batch = collate([sample([5, 6, 7], [-100, 6, 7], 4), sample([8, 0], [8, 0], 9)], {
      length: 4,
      padTokenId: 0,
    });
    expect(batch).toEqual({
      batchSize: 2,
      length: 4,
      inputIds: BigInt64Array.from([5n, 6n, 7n, 0n, 8n, 0n, 0n, 0n]),
      lengths: Int32Array.from([3, 2]),
      rows: Int32Array.from([0, 1, 4]),
      targets: Int32Array.from([6, 7, 0]),
      lines: [4, 9],
      tokens: 5,
    });
  });

  it('fills a last, smaller batch with rows that teach nothing', () => {
    const whole = collate([sample([5, 6])], { length: 3, padTokenId: 1 });
    const filled = collate([sample([5, 6])], { length: 3, padTokenId: 1, batchSize: 3 });
    expect(filled.batchSize).toBe(3);
    expect([...filled.lengths]).toEqual([2, 1, 1]);
    expect([...filled.inputIds].slice(3)).toEqual(new Array(6).fill(1n));
    for (const key of ['rows', 'targets', 'lines', 'tokens'] as const) expect(filled[key]).toEqual(whole[key]);
  });

  it('never drops tokens to make a sample fit', () => {
    expect(() => collate([sample([1, 2, 3])], { length: 2, padTokenId: 0 })).toThrow(/does not fit/);
    expect(() => collate([sample([1]), sample([2])], { length: 2, padTokenId: 0, batchSize: 1 })).toThrow(/do not fit/);
  });
});

describe('chooseLengths', () => {
  const padded = (lengths: number[], buckets: number[]) =>
    lengths.reduce((sum, length) => sum + bucketFor(length, buckets), 0);

  it('computes the least padding there can be, by trying all sets of buckets', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        (lengths, maxBuckets) => {
          const chosen = chooseLengths(lengths, { maxLength: 64, maxBuckets });
          expect(chosen.length).toBeLessThanOrEqual(maxBuckets);
          const sizes = [8, 16, 24, 32, 40, 48, 56, 64];
          let least = Number.POSITIVE_INFINITY;
          for (let set = 1; set < 256; set++) {
            const buckets = sizes.filter((_, i) => set & (1 << i));
            if (buckets.length > maxBuckets || buckets.at(-1)! < Math.max(...lengths)) continue;
            least = Math.min(least, padded(lengths, buckets));
          }
          expect(padded(lengths, chosen)).toBe(least);
        },
      ),
    );
  });

  it('goes up to max_length and no further, even where that is no multiple of 8', () => {
    expect(chooseLengths([3, 97, 100], { maxLength: 100 })).toEqual([8, 100]);
    expect(chooseLengths([], { maxLength: 100 })).toEqual([8]);
    expect(chooseLengths([1], { maxLength: 5 })).toEqual([5]);
  });

  it('is quick for thousands of different lengths', () => {
    const lengths = Array.from({ length: 8192 }, (_, i) => i + 1);
    expect(chooseLengths(lengths, { maxLength: 8192 })).toEqual([2048, 4096, 6144, 8192]);
  });
});

describe('batchLength', () => {
  it('pads as the recipe says', () => {
    const options = { buckets: [16, 64], maxLength: 100 };
    expect(batchLength([5, 17], { ...options, padTo: 'bucket' })).toBe(64);
    expect(batchLength([5, 17], { ...options, padTo: 'longest' })).toBe(24);
    expect(batchLength([5, 17], { ...options, padTo: 'max_length' })).toBe(100);
    expect(batchLength([99], { ...options, padTo: 'longest' })).toBe(100);
    expect(() => batchLength([65], { ...options, padTo: 'bucket' })).toThrow(/no bucket/);
  });
});

describe('planEpoch', () => {
  const shape = {
    n: fc.integer({ min: 0, max: 120 }),
    batchSize: fc.integer({ min: 1, max: 9 }),
    accumulation: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(),
    epoch: fc.nat(5),
    groupByLength: fc.boolean(),
  };

  it('uses every sample once an epoch, in full batches but for the last, and repeats itself exactly', () => {
    fc.assert(
      fc.property(fc.record(shape), (options) => {
        const lengths = Array.from({ length: options.n }, (_, i) => (i * 37) % 50);
        const plan = planEpoch({ ...options, lengths });
        expect(plan.flat(2).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
        for (const step of plan.slice(0, -1)) expect(step).toHaveLength(options.accumulation);
        for (const batch of plan.flat().slice(0, -1)) expect(batch).toHaveLength(options.batchSize);
        expect(plan).toHaveLength(stepsPerEpoch(options.n, options.batchSize, options.accumulation));
        expect(planEpoch({ ...options, lengths })).toEqual(plan);
      }),
    );
  });

  it('comes in another order each epoch', () => {
    const options = { n: 40, batchSize: 4, accumulation: 1, seed: 3 };
    expect(planEpoch({ ...options, epoch: 0 })).not.toEqual(planEpoch({ ...options, epoch: 1 }));
  });

  it('saves padding when grouped by length, begins with the longest sample, and does not go from long to short', () => {
    const n = 640;
    const lengths = Array.from({ length: n }, (_, i) => 1 + ((i * 7919) % 509));
    const options = { n, batchSize: 8, accumulation: 2, seed: 5, epoch: 0, lengths };
    const longest = (batch: number[]) => Math.max(...batch.map((i) => lengths[i]!));
    const tokens = (plan: number[][][]) => plan.flat().reduce((sum, batch) => sum + batch.length * longest(batch), 0);
    const grouped = planEpoch({ ...options, groupByLength: true });
    expect(tokens(grouped)).toBeLessThan(0.7 * tokens(planEpoch(options)));
    expect(longest(grouped[0]![0]!)).toBe(Math.max(...lengths));
    const order = grouped.flat().map(longest);
    const falls = order.filter((length, i) => i > 0 && length < order[i - 1]!).length;
    expect(falls).toBeGreaterThan(0.3 * order.length);
    expect(falls).toBeLessThan(0.7 * order.length);
  });
});

describe('datasetStats', () => {
  it('counts what is learned, cut and doubled', () => {
    const samples = [
      sample([1, 2, 3], [-100, 2, 3], 1),
      { ...sample([4, 5, 6, 7], [-100, -100, -100, 7], 2), truncated: true },
      sample([1, 2, 3], [1, 2, 3], 5),
      sample([9], [9], 7),
    ];
    expect(datasetStats(samples)).toMatchObject({
      samples: 4,
      tokens: 11,
      supervised: 5,
      supervisedShare: 5 / 11,
      truncated: 1,
      truncatedShare: 0.25,
      lengths: { min: 1, median: 3, mean: 2.75, p95: 4, max: 4 },
      histogram: [{ from: 1, to: 8, count: 4 }],
      duplicates: { count: 1, examples: [{ line: 5, sameAs: 1 }] },
    });
  });

  it('puts every sample into one bin of at most twelve', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 40 }), (lengths) => {
        const { histogram } = datasetStats(lengths.map((length) => sample(new Array(length).fill(1))));
        expect(histogram.length).toBeLessThanOrEqual(12);
        expect(histogram.reduce((sum, { count }) => sum + count, 0)).toBe(lengths.length);
        for (const { from, to, count } of histogram) {
          expect(lengths.filter((length) => length >= from && length <= to)).toHaveLength(count);
        }
      }),
    );
  });

  it('has figures, not NaN, for no samples', () => {
    expect(datasetStats([])).toMatchObject({ supervisedShare: 0, truncatedShare: 0, lengths: { mean: 0, max: 0 } });
  });
});
