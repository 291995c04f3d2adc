/** Which rows train and which are held out, as the run will have it. */
import type { DatasetRecipe } from '@protocol/recipe';
import { splitSamples } from '../dataset';

/** Of a row; 0: the run does not use it. */
export const TRAINED = 1;
export const HELD_OUT = 2;

/**
 * @param rows of each file
 * @param heldOut whether a file as a whole is held out
 * @returns [all rows]
 */
export function partsOf(
  recipe: DatasetRecipe,
  seed: number,
  rows: readonly number[],
  heldOut: readonly boolean[],
): Uint8Array {
  const parts = new Uint8Array(rows.reduce((a, b) => a + b, 0));
  const { train, test } = splitSamples(rows[0] ?? 0, recipe, seed);
  for (const row of train.slice(0, recipe.max_train_samples)) parts[row] = TRAINED;
  for (const row of test.slice(0, recipe.max_eval_samples)) parts[row] = HELD_OUT;
  let first = rows[0] ?? 0;
  for (let file = 1; file < rows.length; file++) {
    const end = first + rows[file]!;
    if (heldOut[file]) parts.fill(HELD_OUT, first, Math.min(end, first + (recipe.max_eval_samples ?? rows[file]!)));
    first = end;
  }
  return parts;
}
