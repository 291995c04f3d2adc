/** Pairs of rows that are nearly the same, from their minima; see minHash.ts for what that means. */
import { setImmediate } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { BANDS, MINIMA, similarity } from './minHash';

const LEAST_SIMILARITY = 0.8;
/** Rows of a bucket that a row is compared with: a band that a thousand rows share says little. */
const MOST_A_BUCKET = 8;
/** A band's key and a row's number fit a float64 together: 32 + 21 bits. */
const MOST_ROWS = 2 ** 21;

export interface NearOptions {
  rows: number;
  /** [rows·64] */
  minima: Uint8Array;
  /** Whether a row has minima. */
  has(row: number): boolean;
  isTrained(row: number): boolean;
  isHeldOut(row: number): boolean;
  signal?: AbortSignal | undefined;
}

/** −1: none. */
export interface NearRows {
  /** [rows] an earlier row that this one nearly is. */
  earlier: Int32Array;
  /** [rows] for one that is held out: a row that is trained on. */
  trained: Int32Array;
}

/** One band after the other: 8 bytes a row at a time. @throws TuneyardError `cancelled` */
export async function findNearRows(options: NearOptions): Promise<NearRows> {
  const { rows, minima } = options;
  const bands = new Uint32Array(minima.buffer, minima.byteOffset, BANDS * rows);
  const earlier = new Int32Array(rows).fill(-1);
  const trained = new Int32Array(rows).fill(-1);
  const minimaOf = (row: number) => minima.subarray(MINIMA * row, MINIMA * (row + 1));
  const isNear = (a: number, b: number) => similarity(minimaOf(a), minimaOf(b)) >= LEAST_SIMILARITY;
  const keys = new Float64Array(rows);
  for (let band = 0; band < BANDS; band++) {
    await setImmediate();
    if (options.signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    let count = 0;
    for (let row = 0; row < rows; row++) {
      if (options.has(row)) keys[count++] = bands[BANDS * row + band]! * MOST_ROWS + row;
    }
    const sorted = keys.subarray(0, count).sort();
    for (let start = 0; start < count; ) {
      const key = Math.floor(sorted[start]! / MOST_ROWS);
      const first: number[] = [];
      const firstTrained: number[] = [];
      const heldOut: number[] = [];
      let end = start;
      for (; end < count && Math.floor(sorted[end]! / MOST_ROWS) === key; end++) {
        const row = sorted[end]! % MOST_ROWS;
        if (earlier[row]! < 0) earlier[row] = first.find((other) => isNear(other, row)) ?? -1;
        if (first.length < MOST_A_BUCKET) first.push(row);
        if (options.isHeldOut(row)) heldOut.push(row);
        else if (firstTrained.length < MOST_A_BUCKET && options.isTrained(row)) firstTrained.push(row);
      }
      for (const row of heldOut) {
        if (trained[row]! < 0) trained[row] = firstTrained.find((other) => isNear(other, row)) ?? -1;
      }
      start = end;
    }
  }
  return { earlier, trained };
}
