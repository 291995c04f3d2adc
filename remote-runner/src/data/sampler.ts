/**
 * The plan of an epoch: which samples are in which micro-batch of which step. It follows from the seed and the epoch
 * alone, so that a resumed run makes the plan again and goes on at any step.
 */
import { Random } from './random';
import { permutation, shuffledOrder } from './split';

export interface EpochPlanOptions {
  /** Samples. */
  n: number;
  /** Samples in a micro-batch. */
  batchSize: number;
  /** Micro-batches in a step. */
  accumulation: number;
  seed: number;
  /** From 0. */
  epoch: number;
  /** [n] tokens of each sample; needed with groupByLength. */
  lengths?: readonly number[];
  /** Samples of like length go into one batch. */
  groupByLength?: boolean;
  /** False: every epoch in the samples' own order. Default: true. */
  shuffle?: boolean;
}

/** Streams of the seed for the order of grouped batches, apart from those that shuffle samples. */
const BATCH_ORDER_STREAM = 2 ** 40;

/**
 * Steps → micro-batches → sample indexes. Every sample comes once; the last micro-batch and the last step may be
 * smaller (as in transformers, nothing is dropped).
 *
 * With `groupByLength`, as in transformers' LengthGroupedSampler: the shuffled samples are cut into mega-batches of up
 * to 50 batches, and each is sorted by length. Beyond that, the batches are shuffled, so that length does not follow
 * the step; but the one with the longest sample comes first, so that a lack of memory shows at once.
 */
export function planEpoch(options: EpochPlanOptions): number[][][] {
  const { n, batchSize, accumulation, seed, epoch, shuffle = true } = options;
  const order = shuffle ? shuffledOrder(n, seed, epoch) : Array.from({ length: n }, (_, i) => i);
  // Batches of like lengths are mixed in any case.
  const batches =
    options.groupByLength && shuffle
      ? groupedBatches(order, batchSize, options.lengths ?? [], new Random(seed, BATCH_ORDER_STREAM + epoch))
      : chunks(order, batchSize);
  return chunks(batches, accumulation);
}

/** Steps of an epoch. */
export function stepsPerEpoch(n: number, batchSize: number, accumulation: number): number {
  return Math.ceil(Math.ceil(n / batchSize) / accumulation);
}

function groupedBatches(order: number[], batchSize: number, lengths: readonly number[], random: Random): number[][] {
  const lengthOf = (sample: number) => lengths[sample] ?? 0;
  // transformers' choice: a quarter of the data, at most 50 batches.
  const megaBatch = batchSize * Math.max(1, Math.min(Math.floor(order.length / (batchSize * 4)), 50));
  const sorted = chunks(order, megaBatch).flatMap((chunk) => chunk.sort((a, b) => lengthOf(b) - lengthOf(a) || a - b));
  const batches = chunks(sorted, batchSize);
  // Only the last batch may be smaller; it stays last.
  const ragged = sorted.length % batchSize === 0 ? [] : batches.splice(-1);
  const shuffled = Array.from(permutation(batches.length, random), (index) => batches[index]!);
  const longestOf = (batch: number[]) => Math.max(...batch.map(lengthOf));
  let longest = 0;
  for (let i = 1; i < shuffled.length; i++) {
    if (longestOf(shuffled[i]!) > longestOf(shuffled[longest]!)) longest = i;
  }
  if (longest > 0) shuffled.unshift(...shuffled.splice(longest, 1));
  return [...shuffled, ...ragged];
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const out: T[][] = [];
  for (let at = 0; at < items.length; at += size) out.push(items.slice(at, at + size));
  return out;
}
