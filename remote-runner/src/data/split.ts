/** Which rows train, which evaluate, and in what order: functions of the seed alone, so that a resumed run repeats them. */
import { Random } from './random';

/** Streams of one seed, kept apart so that the split does not change with the order of an epoch. */
const SPLIT_STREAM = 0;
const FIRST_EPOCH_STREAM = 1;

/** The numbers 0 … n − 1 in random order (Fisher and Yates; Durstenfeld 1964). */
export function permutation(n: number, random: Random): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = random.nextInt(i + 1);
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}

/** The order in which an epoch (from 0) goes through n samples. */
export function shuffledOrder(n: number, seed: number, epoch: number): number[] {
  return Array.from(permutation(n, new Random(seed, FIRST_EPOCH_STREAM + epoch)));
}

/**
 * Draws the rows held out for evaluation. As in scikit-learn and `datasets`, ⌈n · testSize⌉ rows are held out, but
 * at least one is left to train on (unless testSize is 1).
 *
 * @param testSize share held out, 0 to 1
 * @returns row indexes in random order, so that the first k of either are a fair subset
 */
export function trainTestSplit(n: number, testSize: number, seed: number): { train: Uint32Array; test: Uint32Array } {
  const order = permutation(n, new Random(seed, SPLIT_STREAM));
  // Without the margin 0.1 · 30 = 3.0000000000000004 would hold out a fourth row.
  const wanted = Math.ceil(n * testSize - 1e-9);
  const held = Math.max(0, testSize < 1 ? Math.min(wanted, n - 1) : n);
  return { test: order.subarray(0, held), train: order.subarray(held) };
}
