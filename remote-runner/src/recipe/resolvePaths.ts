import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import { isHubPath } from '@protocol/hubPath';
import type { Recipe } from '@protocol/recipe';

/**
 * Makes a recipe's relative paths absolute, so that it means the same from wherever it is read again.
 * @param baseDir folder that they start from
 */
export function resolvePaths(recipe: Recipe, baseDir: string): Recipe {
  const file = (path: string) => (isHubPath(path) ? path : resolve(baseDir, path.replace(/^~(?=$|[/\\])/, homedir())));
  /** A name on the hub stays as it is, unless there is a folder of that name. */
  const fileOrName = (name: string) =>
    isAbsolute(name) || /^(~|\.\.?)($|[/\\])/.test(name) || existsSync(file(name)) ? file(name) : name;

  const { dataset, resume_from_checkpoint: resume } = recipe;
  return {
    ...recipe,
    model: fileOrName(recipe.model),
    dataset:
      typeof dataset === 'string'
        ? file(dataset)
        : {
            ...dataset,
            path: file(dataset.path),
            ...(dataset.sources && {
              sources: dataset.sources.map((source) => ({ ...source, path: file(source.path) })),
            }),
            ...(dataset.test_path !== undefined && {
              test_path: Array.isArray(dataset.test_path) ? dataset.test_path.map(file) : file(dataset.test_path),
            }),
          },
    resume_from_checkpoint: typeof resume === 'string' ? file(resume) : resume,
  };
}
