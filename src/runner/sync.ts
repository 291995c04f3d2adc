/** Files of this machine that a run on another needs: sent once, by what they hold. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { DataFile } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import { throwIfAborted } from '../hosts/limits';
import type { OnProgress, Runner } from './runner';

export interface SyncOptions {
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface LocalizedRecipe {
  /** With the host's paths in place of this machine's. */
  recipe: Record<string, unknown>;
  /** Path there → path here. */
  sent: Record<string, string>;
}

/**
 * Makes a recipe mean the same on a host: its dataset and, where it is a folder, its model are sent there.
 * @param recipe as it was written
 * @param folder what its relative paths start from
 * @throws TuneyardError `file_not_found` for a dataset that is not there; what transfers throw
 */
export async function localizeRecipe(
  runner: Runner,
  recipe: Record<string, unknown>,
  folder: string,
  options: SyncOptions = {},
): Promise<LocalizedRecipe> {
  const changed = structuredClone(recipe);
  const sent: Record<string, string> = {};
  const send = async (path: string): Promise<string> => {
    const local = resolve(folder, path);
    const remote = await syncPath(local, runner, options);
    if (remote !== local) sent[remote] = local;
    return remote;
  };
  const { dataset, model } = changed;
  if (typeof dataset === 'string') changed.dataset = await send(dataset);
  if (typeof dataset === 'object' && dataset !== null) {
    const described = dataset as Record<string, unknown>;
    for (const key of ['path', 'test_path']) {
      if (typeof described[key] === 'string') described[key] = await send(described[key]);
    }
  }
  if (typeof model === 'string' && (await isFolderHere(model, folder))) changed.model = await send(model);
  return { recipe: changed, sent };
}

/** A hub name may look like a path; a folder that is here is meant. */
async function isFolderHere(model: string, folder: string): Promise<boolean> {
  const found = await stat(resolve(folder, model)).catch(() => undefined);
  if (!found && (isAbsolute(model) || model.startsWith('.'))) {
    throw new TuneyardError('file_not_found', l10n.t('there is no model here; check the path.'), {
      place: { file: resolve(folder, model) },
    });
  }
  return found?.isDirectory() === true;
}

/**
 * @param path a file or a folder of this machine
 * @returns where it is on the host; the same path where the host is this machine
 */
async function syncPath(path: string, runner: Runner, { signal, onProgress }: SyncOptions): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) {
    throw new TuneyardError('file_not_found', l10n.t('there is no such file; check the path.'), {
      place: { file: path },
    });
  }
  if (runner.host.id === 'local') return path;
  const isFolder = found.isDirectory();
  const paths = isFolder ? await filesUnder(path) : [path];
  const files: (DataFile & { local: string })[] = [];
  for (const local of paths) {
    throwIfAborted(signal);
    const name = isFolder ? relative(path, local).split(sep).join(posix.sep) : basename(local);
    files.push({ local, name, ...(await digest(local)) });
  }
  const group = isFolder ? hashOf(files.map(({ name, sha256 }) => `${name} ${sha256}\n`).join('')) : undefined;
  const announced = files.map(({ local, ...file }) => ({ ...file, ...(group !== undefined && { group }) }));
  const plans = await runner.peer.request('data/plan', { files: announced }, signal);
  const total = plans.reduce((sum, plan, i) => sum + (plan.present ? 0 : files[i]!.bytes), 0);
  let done = 0;
  for (const [i, plan] of plans.entries()) {
    if (plan.present) continue;
    await runner.host.upload(files[i]!.local, plan.partial_path, {
      from: plan.have_bytes,
      ...(signal && { signal }),
      onProgress: (bytes) => onProgress?.(l10n.t('Sending {0}', megabytes(total)), (done + bytes) / total),
    });
    done += files[i]!.bytes;
    await runner.peer.request('data/commit', announced[i]!, signal);
  }
  const [first] = plans;
  return isFolder ? first!.path.slice(0, -files[0]!.name.length - 1) : first!.path;
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  if (files.length > 0) return files.sort();
  throw new TuneyardError('file_not_found', l10n.t('this folder is empty.'), { place: { file: folder } });
}

/** Hashing gigabytes for every run would be felt: what has not changed is not read again. */
const known = new Map<string, { bytes: number; sha256: string }>();

async function digest(path: string): Promise<{ bytes: number; sha256: string }> {
  const { size, mtimeMs, ino } = await stat(path);
  const key = `${path}\n${size}\n${mtimeMs}\n${ino}`;
  const before = known.get(key);
  if (before) return before;
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(piece);
    bytes += piece.length;
  }
  const found = { bytes, sha256: hash.digest('hex') };
  known.set(key, found);
  return found;
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toPrecision(bytes < 1e7 ? 2 : 3)} MB`;
