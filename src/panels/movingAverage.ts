/**
 * Exponential moving average over all rows of a growing column, without the pull towards zero at its start:
 * m ← β·m + (1−β)·x, shown as m / (1−βᵗ), with β = 1 − 2/(span + 1). Values that are not finite are passed over.
 */
export class MovingAverage {
  values: Float64Array = new Float64Array(0);
  private rows = 0;
  private mean = 0;
  private weight = 0;
  private span = 1;

  /** Takes in the rows up to `length`. Another span begins anew. */
  extend(column: Float64Array, length: number, span: number): void {
    if (span !== this.span) this.truncate(0);
    this.span = span;
    if (this.values.length < length) {
      const larger = new Float64Array(Math.max(length, 2 * this.values.length));
      larger.set(this.values);
      this.values = larger;
    }
    const beta = 1 - 2 / (span + 1);
    for (let row = this.rows; row < length; row++) {
      const value = column[row]!;
      if (!Number.isFinite(value)) {
        this.values[row] = Number.NaN;
        continue;
      }
      this.mean = beta * this.mean + (1 - beta) * value;
      this.weight = beta * this.weight + (1 - beta);
      this.values[row] = this.mean / this.weight;
    }
    this.rows = Math.max(this.rows, length);
  }

  /** Forgets the rows from `row` on. What came before is worked out anew: it is rare, and the state then is not kept. */
  truncate(row: number): void {
    if (row >= this.rows) return;
    this.rows = 0;
    this.mean = 0;
    this.weight = 0;
  }
}

/** A span that shows the trend of a run of so many rows: about a thirtieth, rounded to 1, 2 or 5 so that it seldom changes. */
export function defaultSpan(rows: number): number {
  const wanted = Math.min(10_000, Math.max(2, rows / 30));
  const power = 10 ** Math.floor(Math.log10(wanted));
  const digit = wanted / power;
  return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}
