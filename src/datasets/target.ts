/** What a data file, or a recipe, is looked at as. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { DatasetRecipe } from '@protocol/recipe';
import * as l10n from '@vscode/l10n';
import type { DatasetTarget } from '../panels/datasetModel';
import { datasetPath, recipePaths } from '../recipes/recipePaths';
import { isRecord, parseRecipe, RECIPE_SUFFIX } from '../recipes/recipeText';

const DEFAULT_LENGTH = 512;
const DEFAULT_SEED = 42;

/** @throws TuneyardError `recipe_invalid` where it names no data */
export async function targetOfRecipe(recipe: string): Promise<DatasetTarget> {
  const { value } = parseRecipe(await readFile(recipe, 'utf8'));
  const dir = dirname(recipe);
  const path = value && datasetPath(value, dir);
  if (!value || path === undefined) {
    throw new TuneyardError('recipe_invalid', l10n.t('The recipe names no dataset.'), { place: { file: recipe } });
  }
  return asIn(value, path, recipe);
}

/** As the recipe beside it that trains on it says, where there is one. */
export async function targetOfData(path: string): Promise<DatasetTarget> {
  const recipe = await recipeFor(path);
  if (recipe !== undefined) return targetOfRecipe(recipe);
  const settings = { max_length: DEFAULT_LENGTH, train_on_prompt: false };
  return { path, dataset: {}, settings, seed: DEFAULT_SEED };
}

/** A recipe beside the data that trains on it. */
export async function recipeFor(data: string): Promise<string | undefined> {
  const dir = dirname(data);
  const files = await readdir(dir).catch(() => []);
  for (const file of files.filter((name) => name.endsWith(RECIPE_SUFFIX)).sort()) {
    const { value } = parseRecipe(await readFile(join(dir, file), 'utf8').catch(() => ''));
    if (value && datasetPath(value, dir) === data) return join(dir, file);
  }
  return undefined;
}

function asIn(value: Record<string, unknown>, path: string, recipe: string): DatasetTarget {
  const given = isRecord(value.dataset) ? value.dataset : {};
  const { path: _, test_path, ...rest } = given as Partial<DatasetRecipe>;
  const dir = dirname(recipe);
  const here = recipePaths(value, dir);
  const model = here.find(({ kind }) => kind === 'model')?.path ?? value.model;
  const dataset: Partial<DatasetRecipe> = {
    ...rest,
    ...(Array.isArray(rest.sources) && {
      sources: rest.sources.map((source) => ({
        ...source,
        path: isAbsolute(source.path) ? source.path : join(dir, source.path),
      })),
    }),
    ...(typeof test_path === 'string' && { test_path: isAbsolute(test_path) ? test_path : join(dir, test_path) }),
  };
  return {
    path,
    recipe,
    dataset,
    seed: typeof value.seed === 'number' ? value.seed : DEFAULT_SEED,
    settings: {
      ...(typeof model === 'string' && { model }),
      ...(dataset.format !== undefined && { format: dataset.format }),
      ...(dataset.template !== undefined && { template: dataset.template }),
      max_length: typeof value.max_length === 'number' ? value.max_length : DEFAULT_LENGTH,
      train_on_prompt: dataset.train_on_prompt === true,
    },
  };
}
