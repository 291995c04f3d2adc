/** Data on the hub, as a recipe names it: found, and fetched where all of it is read. */

import type { HubChoice } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import { isHubPath } from '@protocol/hubPath';
import type { DatasetRecipe } from '@protocol/recipe';
import { fetchHubFile, findHubFiles, type HubDataOptions } from '../hub/hubDataset';
import { testPaths } from './heldOut';

/**
 * A recipe whose paths are single files: those on the hub at a commit (`hf://…`), the others as they were.
 * @throws TuneyardError as {@link findHubFiles}; `recipe_invalid` for a split of what is not on the hub
 */
export async function pinHubData(
  recipe: DatasetRecipe,
  options: HubDataOptions,
): Promise<{ recipe: DatasetRecipe; hub?: HubChoice }> {
  const { config, split, test_split, sources, test_path, ...rest } = recipe;
  for (const [key, value] of Object.entries({ config, split, test_split })) {
    if (value === undefined || isHubPath(recipe.path)) continue;
    const what = `\`${key}\` is for datasets on the hub (hf://datasets/…); this one is a file.`;
    throw new TuneyardError('recipe_invalid', what, { data: { key: `dataset.${key}` } });
  }
  const expand = async (path: string, of: { config?: string | undefined; split?: string | undefined }) =>
    isHubPath(path) ? findHubFiles(path, of, options) : { files: [path], configs: [], splits: [] };

  const { files, ...hub } = await expand(recipe.path, { config, split });
  const weighted = files.map((path) => ({ path, ...(recipe.weight !== undefined && { weight: recipe.weight }) }));
  for (const source of sources ?? []) {
    const { weight } = source;
    for (const path of (await expand(source.path, source)).files) {
      weighted.push({ path, ...(weight !== undefined && { weight }) });
    }
  }
  const tests: string[] = [];
  for (const path of testPaths(recipe)) tests.push(...(await expand(path, { config, split: 'test' })).files);
  if (test_split !== undefined) tests.push(...(await expand(recipe.path, { config, split: test_split })).files);
  const [first, ...more] = weighted;
  return {
    recipe: {
      ...rest,
      path: first!.path,
      ...(more.length > 0 && { sources: more }),
      ...(tests.length > 0 && { test_path: tests.length === 1 ? tests[0]! : tests }),
    },
    ...(isHubPath(recipe.path) && { hub }),
  };
}

/** The same with every file on this machine. @throws TuneyardError as {@link pinHubData} and {@link fetchHubFile} */
export async function localData(recipe: DatasetRecipe, options: HubDataOptions): Promise<DatasetRecipe> {
  const { recipe: pinned } = await pinHubData(recipe, options);
  const local = async (path: string) => (isHubPath(path) ? fetchHubFile(path, options) : path);
  const { sources, ...rest } = pinned;
  const path = await local(rest.path);
  const more: NonNullable<DatasetRecipe['sources']> = [];
  for (const source of sources ?? []) more.push({ ...source, path: await local(source.path) });
  const tests: string[] = [];
  for (const test of testPaths(pinned)) tests.push(await local(test));
  return { ...rest, path, ...(sources && { sources: more }), ...(tests.length > 0 && { test_path: tests }) };
}
