/** Which rows train, how often, and which are held out, as the run will have it. */
import type { DatasetRecipe } from '@protocol/recipe';
import { selectRows } from '../selectRows';

/** Of a row that is held out. Others: how often the row is trained on; 0: not at all. */
export const HELD_OUT = 255;

export const isTrained = (part: number | undefined): boolean => part !== undefined && part > 0 && part < HELD_OUT;

/**
 * @param rows of each file
 * @param heldOut whether a file as a whole is held out
 * @param isLeftOut by the recipe's filter
 * @returns [all rows]
 */
export function partsOf(
  recipe: DatasetRecipe,
  seed: number,
  rows: readonly number[],
  heldOut: readonly boolean[],
  isLeftOut: (row: number) => boolean = () => false,
): Uint8Array {
  const total = rows.reduce((a, b) => a + b, 0);
  const parts = new Uint8Array(total);
  /** Those that the run splits, of the files that are not held out as a whole. */
  const pool = new Uint32Array(total);
  const counts: number[] = [];
  let pooled = 0;
  let first = 0;
  for (const [file, count] of rows.entries()) {
    const before = pooled;
    let held = 0;
    for (let row = first; row < first + count; row++) {
      if (isLeftOut(row)) continue;
      if (!heldOut[file]) pool[pooled++] = row;
      else if (held++ < (recipe.max_eval_samples ?? Number.POSITIVE_INFINITY)) parts[row] = HELD_OUT;
    }
    if (!heldOut[file]) counts.push(pooled - before);
    first += count;
  }
  const { train, test } = selectRows(counts, recipe, seed);
  for (const i of train.subarray(0, recipe.max_train_samples)) parts[pool[i]!]!++;
  for (const i of test.subarray(0, recipe.max_eval_samples)) parts[pool[i]!] = HELD_OUT;
  return parts;
}
