/** Which rows of the files train, how often, and which are held out: a function of their numbers and the seed alone. */
import type { DatasetRecipe } from '@protocol/recipe';
import { Random } from './random';
import { trainTestSplit } from './split';

/** A stream of the seed of its own: what is held out does not change with the weights. */
const WEIGHT_STREAM = 2 ** 41;

/** Indexes into the rows of all files, one file after the other; in random order unless nothing is held out. */
export interface Selection {
  /** A row may come several times. */
  train: Uint32Array;
  test: Uint32Array;
}

/** Which of n samples train and which are held out. Where none are, or nothing is shuffled, they stay in the file's order. */
export function splitSamples(n: number, recipe: DatasetRecipe, seed: number): Selection {
  if (recipe.test_path === undefined && recipe.test_size > 0) {
    const { train, test } = trainTestSplit(n, recipe.test_size, seed);
    return { train: recipe.shuffle === false ? train.sort() : train, test };
  }
  return { train: Uint32Array.from({ length: n }, (_, i) => i), test: new Uint32Array(0) };
}

/** @param counts rows that are used of each file: of `path`, then of each of `sources` */
export function selectRows(counts: readonly number[], recipe: DatasetRecipe, seed: number): Selection {
  const { train, test } = splitSamples(
    counts.reduce((a, b) => a + b, 0),
    recipe,
    seed,
  );
  const weights = [recipe.weight ?? 1, ...(recipe.sources ?? []).map(({ weight }) => weight ?? 1)];
  if (weights.every((weight) => weight === 1)) return { train, test };
  const random = new Random(seed, WEIGHT_STREAM);
  // Drawn in the files' order, so that a row's luck does not hang on the split.
  const times = new Uint8Array(counts.reduce((a, b) => a + b, 0));
  let row = 0;
  for (const [file, count] of counts.entries()) {
    const weight = weights[file] ?? 1;
    const whole = Math.floor(weight);
    for (const end = row + count; row < end; row++) times[row] = whole + (random.nextFloat() < weight - whole ? 1 : 0);
  }
  const weighted = new Uint32Array(train.reduce((sum, each) => sum + times[each]!, 0));
  let at = 0;
  for (const each of train) {
    weighted.fill(each, at, at + times[each]!);
    at += times[each]!;
  }
  return { train: weighted, test };
}
