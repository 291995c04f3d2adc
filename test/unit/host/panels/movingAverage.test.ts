import { defaultSpan, MovingAverage } from '@host/panels/movingAverage';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** The definition: weights (1−β)·βᵏ of the values before, brought to one. */
function byDefinition(values: readonly number[], span: number): number[] {
  const beta = 1 - 2 / (span + 1);
  return values.map((value, row) => {
    if (!Number.isFinite(value)) return Number.NaN;
    const known = values
      .slice(0, row + 1)
      .filter(Number.isFinite)
      .reverse();
    const weights = known.map((_, age) => beta ** age);
    const sum = weights.reduce((a, b) => a + b, 0);
    return known.reduce((total, one, age) => total + one * weights[age]!, 0) / sum;
  });
}

const values = fc.array(fc.oneof(fc.double({ noNaN: true, min: -100, max: 100 }), fc.constant(Number.NaN)), {
  minLength: 1,
  maxLength: 60,
});

describe('the smoothed curve', () => {
  it('is the moving average of all points before, however they came and however often the span changed', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 40 }), fc.nat(), (all, span, cut) => {
        const column = Float64Array.from(all);
        const average = new MovingAverage();
        average.extend(column, Math.min(3, all.length), 5);
        average.extend(column, all.length, span);
        average.truncate(cut % (all.length + 1));
        average.extend(column, all.length, span);
        const expected = byDefinition(all, span);
        for (let row = 0; row < all.length; row++) {
          if (Number.isNaN(expected[row])) expect(average.values[row]).toBeNaN();
          else expect(average.values[row]).toBeCloseTo(expected[row]!, 8);
        }
      }),
    );
  });

  it('has a span that fits the run, and seldom another one while the run grows', () => {
    expect(defaultSpan(10)).toBe(2);
    expect(defaultSpan(233)).toBe(5);
    expect(defaultSpan(1_000_000)).toBe(10_000);
    const spans = new Set(Array.from({ length: 1000 }, (_, i) => defaultSpan(i)));
    expect(spans.size).toBeLessThan(7);
  });
});
