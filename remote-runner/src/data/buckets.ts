/**
 * Length buckets. A graph is compiled for one length, so batches come in a few lengths: few enough to compile them all,
 * chosen so that as few padded tokens as possible are computed.
 */
import { TuneyardError } from '@protocol/errors';

export interface ChooseLengthsOptions {
  /** No bucket is longer. */
  maxLength: number;
  /** Default 4. */
  maxBuckets?: number;
  /** Lengths are multiples of this (but for maxLength itself). Default 8. */
  multiple?: number;
}

/**
 * The lengths, ascending, for which the least padding is computed when each given length goes to the next bucket. Exact:
 * dynamic programming over the distinct lengths, best[k][j] = min over i of best[k−1][i] + (count of lengths in
 * (i, j]) · length j.
 *
 * @param lengths what is padded: of each sample, or of each batch its longest sample
 */
export function chooseLengths(lengths: readonly number[], options: ChooseLengthsOptions): number[] {
  const { maxLength, maxBuckets = 4, multiple = 8 } = options;
  const counts = new Map<number, number>();
  for (const length of lengths) {
    const rounded = roundLength(length, multiple, maxLength);
    counts.set(rounded, (counts.get(rounded) ?? 0) + 1);
  }
  const sizes = [...counts.keys()].sort((a, b) => a - b);
  if (sizes.length <= maxBuckets) return sizes.length > 0 ? sizes : [roundLength(1, multiple, maxLength)];

  // below[j]: how many lengths are at most sizes[j − 1]
  const below = [0];
  for (const size of sizes) below.push(below.at(-1)! + counts.get(size)!);
  let best = sizes.map((size, j) => below[j + 1]! * size);
  /** from[k][j]: index of the bucket below, when sizes[j] is the longest of k + 2 buckets. */
  const from: number[][] = [];
  for (let k = 1; k < maxBuckets; k++) {
    const next: number[] = [];
    const choice: number[] = [];
    for (let j = 0; j < sizes.length; j++) {
      next[j] = best[j]!;
      choice[j] = -1;
      for (let i = 0; i < j; i++) {
        const cost = best[i]! + (below[j + 1]! - below[i + 1]!) * sizes[j]!;
        if (cost < next[j]!) {
          next[j] = cost;
          choice[j] = i;
        }
      }
    }
    from.push(choice);
    best = next;
  }
  const chosen: number[] = [];
  for (let j = sizes.length - 1, k = from.length - 1; j >= 0; k--) {
    const below = from[k]?.[j] ?? -1;
    // −1 says that with one bucket fewer it was as cheap: ask the row above before ending.
    if (below < 0 && k > 0) continue;
    chosen.unshift(sizes[j]!);
    j = below;
  }
  return chosen;
}

/**
 * The smallest bucket that holds a length.
 *
 * @throws TuneyardError `internal` where none does
 */
export function bucketFor(length: number, buckets: readonly number[]): number {
  let found: number | undefined;
  for (const bucket of buckets) if (bucket >= length && (found === undefined || bucket < found)) found = bucket;
  if (found !== undefined) return found;
  throw new TuneyardError('internal', `no bucket of ${buckets.join(', ')} holds ${length} tokens.`);
}

/** The length of a batch by the recipe's `pad_to`; `longest` is its longest sample, rounded up to a multiple of 8. */
export function batchLength(
  lengths: readonly number[],
  options: { padTo: 'bucket' | 'longest' | 'max_length'; buckets: readonly number[]; maxLength: number },
): number {
  const longest = lengths.reduce((a, b) => Math.max(a, b), 1);
  if (options.padTo === 'max_length') return options.maxLength;
  if (options.padTo === 'longest') return roundLength(longest, 8, options.maxLength);
  return bucketFor(longest, options.buckets);
}

function roundLength(length: number, multiple: number, maxLength: number): number {
  return Math.min(Math.ceil(length / multiple) * multiple, maxLength);
}
