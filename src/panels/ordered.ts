/** Looking things up in a column that never falls. */

/** The first of `length` rows whose value is at least `value`; `length` where there is none. Unknown values are passed over. */
export function firstAtLeast(column: Float64Array, length: number, value: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    let known = middle;
    while (known < high && Number.isNaN(column[known])) known++;
    if (known === high || column[known]! >= value) high = middle;
    else low = known + 1;
  }
  return low;
}

/** The value that stands beside `at` in another column, on the straight line between the rows around it. */
export function valueAt(at: number, from: Float64Array, to: Float64Array, length: number): number | undefined {
  if (length === 0) return undefined;
  const after = Math.min(firstAtLeast(from, length, at), length - 1);
  const value = to[after]!;
  if (after === 0 || from[after]! <= at) return finite(value);
  const before = after - 1;
  const share = (at - from[before]!) / (from[after]! - from[before]!);
  return finite(to[before]! + (value - to[before]!) * share) ?? finite(value) ?? finite(to[before]!);
}

const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined);
