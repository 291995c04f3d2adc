/** The files a recipe names, as paths on this machine. */
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { isRecord, type KeyPath } from './recipeText';

export interface RecipePath {
  key: KeyPath;
  /** As it stands there. */
  written: string;
  /** On this machine. */
  path: string;
  kind: 'dataset' | 'model' | 'checkpoint';
}

/** @param dir the recipe's folder, which relative paths start from */
function resolveFrom(dir: string, path: string): string {
  return resolve(dir, path.replace(/^~(?=$|[/\\])/, homedir()));
}

/** A model that is written as a path, not as a name on the hub. */
function looksLikePath(model: string): boolean {
  return isAbsolute(model) || /^(~|\.\.?)($|[/\\])/.test(model);
}

/** Every path in a recipe; a hub name is none. */
export function recipePaths(recipe: Record<string, unknown>, dir: string): RecipePath[] {
  const found: RecipePath[] = [];
  const add = (key: KeyPath, written: unknown, kind: RecipePath['kind']) => {
    if (typeof written === 'string' && written !== '')
      found.push({ key, written, path: resolveFrom(dir, written), kind });
  };
  const { dataset, model, resume_from_checkpoint: checkpoint } = recipe;
  if (isRecord(dataset)) {
    add(['dataset', 'path'], dataset.path, 'dataset');
    for (const [i, source] of (Array.isArray(dataset.sources) ? dataset.sources : []).entries())
      if (isRecord(source)) add(['dataset', 'sources', i, 'path'], source.path, 'dataset');
    add(['dataset', 'test_path'], dataset.test_path, 'dataset');
  } else add(['dataset'], dataset, 'dataset');
  if (typeof model === 'string' && looksLikePath(model)) add(['model'], model, 'model');
  add(['resume_from_checkpoint'], checkpoint, 'checkpoint');
  return found;
}

/** The file that a recipe trains on. */
export function datasetPath(recipe: Record<string, unknown>, dir: string): string | undefined {
  return recipePaths(recipe, dir).find(({ kind }) => kind === 'dataset')?.path;
}

/** How a recipe in a folder should name a file: relative where they lie near each other, else absolute. */
export function pathFrom(dir: string, path: string): string {
  const way = relative(dir, path);
  if (way === '' || isAbsolute(way) || way.startsWith(`..${sep}..${sep}..`)) return path;
  const posix = way.split(sep).join('/');
  return posix.startsWith('..') ? posix : `./${posix}`;
}

/** What lies at a path. */
export async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats) return undefined;
  return stats.isDirectory() ? 'folder' : 'file';
}
