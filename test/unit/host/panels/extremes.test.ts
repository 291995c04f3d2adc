import { Extremes } from '@host/panels/extremes';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const value = fc.oneof(
  { weight: 9, arbitrary: fc.double({ noNaN: true, min: -1e6, max: 1e6 }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const column = fc.array(value, { minLength: 1, maxLength: 700 }).map((values) => Float64Array.from(values));

const finite = (values: Iterable<number>) => [...values].filter(Number.isFinite);

describe('thinning a curve', () => {
  it('keeps the lowest and the highest value of any range, in order and few enough to draw', () => {
    fc.assert(
      fc.property(column, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 60 }), (values, a, b, bins) => {
        const [from, to] = [a % values.length, b % values.length].sort((x, y) => x - y) as [number, number];
        const extremes = new Extremes();
        extremes.extend(values, values.length);
        const rows = extremes.rows(values, from, to + 1, bins);
        expect(rows.length).toBeLessThanOrEqual(2 * bins + 4);
        expect(rows).toEqual([...new Set(rows)].sort((x, y) => x - y));
        const drawn = finite(rows.map((row) => values[row]!));
        const there = finite(values.slice(from, to + 1));
        if (there.length > 0) {
          expect(Math.min(...drawn)).toBeLessThanOrEqual(Math.min(...there));
          expect(Math.max(...drawn)).toBeGreaterThanOrEqual(Math.max(...there));
        }
        // The line reaches as far as the run has come.
        expect(rows.at(-1)).toBe(to);
      }),
    );
  });

  it('draws the same whether the rows came at once or one by one, also after some were taken back', () => {
    fc.assert(
      fc.property(column, column, fc.nat(), (before, after, cut) => {
        const keep = cut % (before.length + 1);
        const joined = Float64Array.from([...before.slice(0, keep), ...after]);
        const grown = new Extremes();
        for (let length = 1; length <= before.length; length += 3) grown.extend(before, length);
        grown.extend(before, before.length);
        grown.truncate(keep);
        for (let length = keep; length <= joined.length; length += 5) grown.extend(joined, length);
        grown.extend(joined, joined.length);
        const fresh = new Extremes();
        fresh.extend(joined, joined.length);
        for (const bins of [1, 7, 40]) {
          expect(grown.rows(joined, 0, joined.length, bins)).toEqual(fresh.rows(joined, 0, joined.length, bins));
        }
      }),
    );
  });

  it('leaves what is drawn already as it is while rows are added, so that nothing flickers', () => {
    const values = Float64Array.from({ length: 4000 }, (_, i) => Math.sin(i * i));
    const extremes = new Extremes();
    extremes.extend(values, 2100);
    const before = extremes.rows(values, 0, 2100, 100);
    extremes.extend(values, 2900);
    const after = extremes.rows(values, 0, 2900, 100);
    expect(after.slice(0, before.length - 4)).toEqual(before.slice(0, -4));
  });

  it('breaks the line where a stretch has no value, and finds a lone spike among a million', () => {
    const values = new Float64Array(1_000_000).fill(1);
    values.fill(Number.NaN, 500_000, 600_000);
    values[123_457] = 1000;
    const extremes = new Extremes();
    extremes.extend(values, values.length);
    const rows = extremes.rows(values, 0, values.length, 500);
    expect(rows).toContain(123_457);
    expect(rows.filter((row) => Number.isNaN(values[row])).length).toBeGreaterThan(10);
  });
});
