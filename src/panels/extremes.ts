/** Thinning of a column so that no spike is lost: each block of neighbouring rows keeps its lowest and its highest. */

/** Rows in a block of the finest level; each level above joins two. */
const BASE = 16;
/** A block without a finite value. */
const NONE = 0xffffffff;

interface Level {
  /** Blocks that are complete. */
  count: number;
  low: Uint32Array;
  high: Uint32Array;
}

/**
 * A pyramid of extremes over a growing column: n rows cost n comparisons once, a query costs as many as it returns.
 * Blocks begin at multiples of their size, so that what is drawn stays as it is while rows are added.
 */
export class Extremes {
  private readonly levels: Level[] = [];

  /** Takes in the rows up to `length`; rows taken in before must still be as they were. */
  extend(column: Float64Array, length: number): void {
    let count = Math.floor(length / BASE);
    for (let k = 0; count > 0; k++, count >>= 1) {
      this.levels[k] ??= { count: 0, low: new Uint32Array(16), high: new Uint32Array(16) };
      const level = this.levels[k]!;
      if (level.low.length < count) {
        level.low = grown(level.low, count);
        level.high = grown(level.high, count);
      }
      const below = this.levels[k - 1];
      for (let b = level.count; b < count; b++) {
        if (below) {
          level.low[b] = lower(column, below.low[2 * b]!, below.low[2 * b + 1]!);
          level.high[b] = higher(column, below.high[2 * b]!, below.high[2 * b + 1]!);
        } else {
          const [low, high] = scan(column, b * BASE, (b + 1) * BASE);
          level.low[b] = low;
          level.high[b] = high;
        }
      }
      level.count = Math.max(level.count, count);
    }
  }

  /** Forgets the rows from `row` on. */
  truncate(row: number): void {
    this.levels.forEach((level, k) => {
      level.count = Math.min(level.count, Math.floor(row / (BASE << k)));
    });
  }

  /**
   * Rows to draw for `from` ≤ row < `to` in about `bins` blocks: at most 2·bins + 4, in order, the last row always
   * among them. A block that holds no finite value gives one row, to break the line there.
   */
  rows(column: Float64Array, from: number, to: number, bins: number): number[] {
    const count = to - from;
    if (count <= 0) return [];
    if (count <= 2 * bins) return Array.from({ length: count }, (_, i) => from + i);
    let size = 2;
    while (count / size > bins) size *= 2;
    const rows: number[] = [];
    for (let begin = from - (from % size); begin < to; begin += size) {
      const [low, high] = this.span(column, begin, Math.min(begin + size, to));
      if (low === NONE) rows.push(begin);
      else if (low === high) rows.push(low);
      else rows.push(Math.min(low, high), Math.max(low, high));
    }
    if (rows.at(-1)! < to - 1) rows.push(to - 1);
    return rows;
  }

  /** Rows of the lowest and the highest value; `from` is a multiple of the block's size. */
  private span(column: Float64Array, from: number, to: number): [number, number] {
    let low = NONE;
    let high = NONE;
    for (let row = from; row < to; ) {
      let k = this.levels.length - 1;
      while (k >= 0 && !this.covers(k, row, to)) k--;
      const end = k < 0 ? Math.min(row + BASE - (row % BASE), to) : row + (BASE << k);
      const [least, most] =
        k < 0
          ? scan(column, row, end)
          : [this.levels[k]!.low[row / (BASE << k)]!, this.levels[k]!.high[row / (BASE << k)]!];
      low = lower(column, low, least);
      high = higher(column, high, most);
      row = end;
    }
    return [low, high];
  }

  private covers(k: number, row: number, to: number): boolean {
    const size = BASE << k;
    return row % size === 0 && row + size <= to && row / size < this.levels[k]!.count;
  }
}

function grown(array: Uint32Array, count: number): Uint32Array {
  const larger = new Uint32Array(Math.max(count, 2 * array.length));
  larger.set(array);
  return larger;
}

function scan(column: Float64Array, from: number, to: number): [number, number] {
  let low = NONE;
  let high = NONE;
  for (let row = from; row < to; row++) {
    if (!Number.isFinite(column[row])) continue;
    low = lower(column, low, row);
    high = higher(column, high, row);
  }
  return [low, high];
}

function lower(column: Float64Array, a: number, b: number): number {
  if (a === NONE) return b;
  return b !== NONE && column[b]! < column[a]! ? b : a;
}

function higher(column: Float64Array, a: number, b: number): number {
  if (a === NONE) return b;
  return b !== NONE && column[b]! > column[a]! ? b : a;
}
