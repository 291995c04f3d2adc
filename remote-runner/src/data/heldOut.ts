/** What a recipe keeps for evaluation. */
import type { DatasetRecipe } from '@protocol/recipe';

/** The files for evaluation alone. */
export const testPaths = ({ test_path }: Pick<DatasetRecipe, 'test_path'>): string[] =>
  test_path === undefined ? [] : typeof test_path === 'string' ? [test_path] : test_path;

export function holdsSamplesOut(
  dataset: string | Pick<DatasetRecipe, 'test_size' | 'test_path' | 'test_split'>,
): boolean {
  if (typeof dataset === 'string') return true;
  const { test_size, test_path, test_split } = dataset;
  return test_size > 0 || test_path !== undefined || test_split !== undefined;
}
