/** Which rows are trained on together: in the first epoch, as a run of these settings shuffles them. */
import type { DatasetRecipe } from '@protocol/recipe';
import { planEpoch } from '../sampler';
import { selectRows } from '../selectRows';

interface MatesOptions {
  /** Rows of each file that is not held out as a whole. */
  counts: readonly number[];
  seed: number;
  batchSize: number;
  /** [rows] 1: by the recipe's filter. */
  leftOut?: Uint8Array | undefined;
}

/** @returns row → the rows of its (first) batch, itself included; rows that are not trained on have none */
export function batchMates(
  recipe: DatasetRecipe,
  { counts, seed, batchSize, leftOut }: MatesOptions,
): (row: number) => readonly number[] | undefined {
  const pool: number[] = [];
  let first = 0;
  const pooled = counts.map((count) => {
    const before = pool.length;
    for (let row = first; row < first + count; row++) if (leftOut?.[row] !== 1) pool.push(row);
    first += count;
    return pool.length - before;
  });
  const { train } = selectRows(pooled, recipe, seed);
  const rows = Array.from(train.subarray(0, recipe.max_train_samples), (i) => pool[i]!);
  const { shuffle } = recipe;
  const batches = planEpoch({ n: rows.length, batchSize, accumulation: 1, seed, epoch: 0, shuffle }).flat();
  const batchOf = new Int32Array(first).fill(-1);
  for (const [number, batch] of batches.entries()) {
    for (const sample of batch) if (batchOf[rows[sample]!]! < 0) batchOf[rows[sample]!] = number;
  }
  return (row) => batches[batchOf[row] ?? -1]?.map((sample) => rows[sample]!);
}
