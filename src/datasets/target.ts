/** What a data file, or a recipe, is looked at as. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { isHubPath } from '@protocol/hubPath';
import type { DatasetRecipe } from '@protocol/recipe';
import * as l10n from '@vscode/l10n';
import type { DatasetTarget } from '../panels/datasetModel';
import { datasetPath, recipePaths, resolveFrom } from '../recipes/recipePaths';
import { isRecord, parseRecipe, RECIPE_SUFFIX } from '../recipes/recipeText';
import { hostPath, isElsewhere } from './dataPath';

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

/**
 * As the recipe beside it that trains on it says, where there is one.
 * @param written the path of a file of this machine, or data elsewhere as a recipe writes it
 */
export async function targetOfData(written: string): Promise<DatasetTarget> {
  const recipe = isElsewhere(written) ? undefined : await recipeFor(written);
  if (recipe !== undefined) return targetOfRecipe(recipe);
  const { path, host } = whereOf(written);
  const settings = { max_length: DEFAULT_LENGTH, train_on_prompt: false };
  return { path, ...(host !== undefined && { host }), dataset: {}, settings, seed: DEFAULT_SEED };
}

/** What is looked at, as a recipe writes it. */
export const writtenPath = ({ host, path }: Pick<DatasetTarget, 'host' | 'path'>): string =>
  host === undefined ? path : `${host}:${path}`;

function whereOf(written: string): { path: string; host?: string } {
  const there = hostPath(written);
  return there ? { path: there.path, host: there.name } : { path: written };
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

function asIn(value: Record<string, unknown>, written: string, recipe: string): DatasetTarget {
  const given = isRecord(value.dataset) ? value.dataset : {};
  const { path: _, test_path, ...rest } = given as Partial<DatasetRecipe>;
  const dir = dirname(recipe);
  const here = recipePaths(value, dir);
  const model = here.find(({ kind }) => kind === 'model')?.path ?? value.model;
  const { path, host } = whereOf(written);
  const asOnHost = (other: string): string => {
    const where = whereOf(isElsewhere(other) ? other : resolveFrom(dir, other));
    if (isHubPath(where.path) || where.host === host) return where.path;
    const what = l10n.t('{0} does not lie where the other data of this recipe lies.', other);
    throw new TuneyardError('recipe_invalid', what, { place: { file: recipe } });
  };
  const dataset: Partial<DatasetRecipe> = {
    ...rest,
    ...(Array.isArray(rest.sources) && {
      sources: rest.sources.map((source) => ({ ...source, path: asOnHost(source.path) })),
    }),
    ...(test_path !== undefined && {
      test_path: Array.isArray(test_path) ? test_path.map(asOnHost) : asOnHost(test_path),
    }),
  };
  return {
    path,
    ...(host !== undefined && { host }),
    recipe,
    dataset,
    seed: typeof value.seed === 'number' ? value.seed : DEFAULT_SEED,
    settings: {
      ...(typeof model === 'string' && { model }),
      ...(dataset.format !== undefined && { format: dataset.format }),
      ...(dataset.template !== undefined && { template: dataset.template }),
      ...(dataset.config !== undefined && { config: dataset.config }),
      ...(dataset.split !== undefined && { split: dataset.split }),
      max_length: typeof value.max_length === 'number' ? value.max_length : DEFAULT_LENGTH,
      train_on_prompt: dataset.train_on_prompt === true,
    },
  };
}
