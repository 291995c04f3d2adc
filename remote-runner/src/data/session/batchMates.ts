/** Which rows are trained on together: in the first epoch, as a run of these settings shuffles them. */
import type { DatasetRecipe } from '@protocol/recipe';
import { planEpoch } from '../sampler';
import { splitSamples } from '../selectRows';

/** @returns row → the rows of its batch, itself included; rows that are not trained on have none */
export function batchMates(
  recipe: DatasetRecipe,
  { rows, seed, batchSize }: { rows: number; seed: number; batchSize: number },
): (row: number) => readonly number[] | undefined {
  const train = splitSamples(rows, recipe, seed).train.slice(0, recipe.max_train_samples);
  const { shuffle } = recipe;
  const batches = planEpoch({ n: train.length, batchSize, accumulation: 1, seed, epoch: 0, shuffle }).flat();
  const batchOf = new Int32Array(rows).fill(-1);
  for (const [number, batch] of batches.entries()) for (const sample of batch) batchOf[train[sample]!] = number;
  return (row) => batches[batchOf[row] ?? -1]?.map((sample) => train[sample]!);
}
