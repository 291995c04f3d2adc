/** The recipe that a command works by: the one it is given, or that of the run whose model it is given. */
import { join } from 'node:path';
import type { LoadedRecipe } from '../jobs/requests';
import { RECIPE_FILE } from '../runs/runDir';
import { findRun } from './modelArgument';

/**
 * @param file `--recipe`
 * @param models what was named as models; the first that is a run lends its recipe where there is no `file`
 * @returns nothing where neither tells
 */
export async function recipeArgument(
  file: string | undefined,
  models: readonly string[],
  settings: readonly string[],
): Promise<LoadedRecipe | undefined> {
  // With the schema of recipes, which takes as long to load as all the rest, and is not what every command needs.
  const { loadRecipe } = await import('../recipe/loadRecipe');
  if (file !== undefined) return loadRecipe(file, settings);
  for (const model of models) {
    const run = await findRun(model);
    if (run !== undefined) return loadRecipe(join(run, RECIPE_FILE), settings);
  }
  return undefined;
}

/** The keys of a recipe that say how, where a command is given no recipe: defaults, and what `--set` says. */
export async function settingsAlone(model: string, settings: readonly string[]): Promise<LoadedRecipe> {
  const { recipeFromSettings } = await import('../recipe/loadRecipe');
  return recipeFromSettings({ model, dataset: 'none' }, settings, process.cwd());
}
