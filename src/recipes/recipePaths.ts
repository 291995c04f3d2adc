/** The files a recipe names, as paths on this machine. */
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { hostPath, isElsewhere } from '../datasets/dataPath';
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
export function resolveFrom(dir: string, path: string): string {
  return resolve(dir, path.replace(/^~(?=$|[/\\])/, homedir()));
}

/** A model that is written as a path, not as a name on the hub. */
function looksLikePath(model: string): boolean {
  return isAbsolute(model) || /^(~|\.\.?)($|[/\\])/.test(model);
}

/** Every path in a recipe to a file of this machine: a hub name is none, and neither is data on a host. */
export function recipePaths(recipe: Record<string, unknown>, dir: string): RecipePath[] {
  const found: RecipePath[] = [];
  const add = (key: KeyPath, written: unknown, kind: RecipePath['kind']) => {
    if (typeof written === 'string' && written !== '' && !isElsewhere(written))
      found.push({ key, written, path: resolveFrom(dir, written), kind });
  };
  const { dataset, model, resume_from_checkpoint: checkpoint } = recipe;
  if (isRecord(dataset)) {
    add(['dataset', 'path'], dataset.path, 'dataset');
    for (const [i, source] of (Array.isArray(dataset.sources) ? dataset.sources : []).entries())
      if (isRecord(source)) add(['dataset', 'sources', i, 'path'], source.path, 'dataset');
    const tests = dataset.test_path;
    if (Array.isArray(tests))
      for (const [i, path] of tests.entries()) add(['dataset', 'test_path', i], path, 'dataset');
    else add(['dataset', 'test_path'], tests, 'dataset');
  } else add(['dataset'], dataset, 'dataset');
  if (typeof model === 'string' && looksLikePath(model)) add(['model'], model, 'model');
  add(['resume_from_checkpoint'], checkpoint, 'checkpoint');
  return found;
}

/** The data that a recipe trains on: a file of this machine by its absolute path, other data as it is written. */
export function datasetPath({ dataset }: Record<string, unknown>, dir: string): string | undefined {
  const written = isRecord(dataset) ? dataset.path : dataset;
  if (typeof written !== 'string' || written === '') return undefined;
  return isElsewhere(written) ? written : resolveFrom(dir, written);
}

/** Id of the host that a recipe's data lies on; undefined where it is here or on the hub. */
export function hostOfData(recipe: Record<string, unknown>): string | undefined {
  const there = hostPath(datasetPath(recipe, '/') ?? '');
  return there && `ssh:${there.name}`;
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
