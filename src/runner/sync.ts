/** Files of this machine that a run on another needs: sent once, by what they hold. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { isHubPath } from '@protocol/hubPath';
import type { DataFile, DataPlan } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import { type HostPath, hostPath } from '../datasets/dataPath';
import type { Host, TransferOptions } from '../hosts/host';
import { throwIfAborted } from '../hosts/limits';
import type { OnProgress } from './installContext';
import type { Runner } from './runner';

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
    if (isHubPath(path)) return path;
    const there = hostPath(path);
    if (there) return pathOn(runner.host, there);
    const local = pathHere(folder, path);
    const remote = await syncPath(local, runner, options);
    if (remote !== local) sent[remote] = local;
    return remote;
  };
  const { dataset, model } = changed;
  if (typeof dataset === 'string') changed.dataset = await send(dataset);
  if (typeof dataset === 'object' && dataset !== null) {
    const described = dataset as Record<string, unknown>;
    for (const key of ['path', 'test_path']) {
      const value = described[key];
      if (typeof value === 'string') described[key] = await send(value);
      else if (Array.isArray(value)) {
        const paths: unknown[] = [];
        for (const path of value) paths.push(typeof path === 'string' ? await send(path) : path);
        described[key] = paths;
      }
    }
    if (Array.isArray(described.sources)) {
      const sources: unknown[] = [];
      for (const source of described.sources as Record<string, unknown>[]) {
        sources.push(typeof source?.path === 'string' ? { ...source, path: await send(source.path) } : source);
      }
      described.sources = sources;
    }
  }
  if (typeof model === 'string' && (await isFolderHere(model, folder))) changed.model = await send(model);
  return { recipe: changed, sent };
}

/** @throws TuneyardError `file_not_found` where the data lies on another host */
export async function pathOn(host: Host, { name, path }: HostPath): Promise<string> {
  if (host.id !== `ssh:${name}`) {
    throw new TuneyardError(
      'file_not_found',
      l10n.t('the data lies on {0}: start the run there, or copy the data to this machine.', name),
      { place: { file: `${name}:${path}` } },
    );
  }
  return path.startsWith('~/') ? `${await host.home()}${path.slice(1)}` : path;
}

/**
 * Sends what a tokenizer is read from, without the weights beside it.
 * @param model a folder of this machine, or a name on the hub
 * @returns what stands for it on the host
 */
export async function sendTokenizer(runner: Runner, model: string, options: SyncOptions = {}): Promise<string> {
  if (!(await isFolderHere(model, homedir()))) return model;
  return syncPath(pathHere(homedir(), model), runner, options, (name) => !WEIGHTS.test(name));
}

const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|onnx|gguf|h5|msgpack)$|^checkpoint/i;

/** Relative to the recipe, or to the home directory, as the runner takes it. */
const pathHere = (folder: string, path: string): string => resolve(folder, path.replace(/^~(?=$|[/\\])/, homedir()));

/** A hub name may look like a path; a folder that is here is meant. */
async function isFolderHere(model: string, folder: string): Promise<boolean> {
  const file = pathHere(folder, model);
  const found = await stat(file).catch(() => undefined);
  if (!found && (isAbsolute(model) || /^(~|\.\.?)($|[/\\])/.test(model))) {
    throw new TuneyardError('file_not_found', l10n.t('there is no model here; check the path.'), { place: { file } });
  }
  return found?.isDirectory() === true;
}

/**
 * @param path a file or a folder of this machine
 * @returns where it is on the host; the same path where the host is this machine
 */
async function syncPath(
  path: string,
  runner: Runner,
  { signal, onProgress }: SyncOptions,
  wants: (name: string) => boolean = () => true,
): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) {
    throw new TuneyardError('file_not_found', l10n.t('there is no such file; check the path.'), {
      place: { file: path },
    });
  }
  if (runner.host.id === 'local') return path;
  const isFolder = found.isDirectory();
  const paths = isFolder ? (await filesUnder(path)).filter((file) => wants(relative(path, file))) : [path];
  const files = await announce(paths, (local) => nameOf(local, isFolder ? path : dirname(path)), {
    signal,
    onProgress,
  });
  const group = isFolder ? hashOf(files.map(({ name, sha256 }) => `${name} ${sha256}\n`).join('')) : undefined;
  const announced = files.map(({ local, ...file }) => ({ ...file, ...(group !== undefined && { group }) }));
  const plans = await runner.peer.request('data/plan', { files: announced }, signal);
  const total = plans.reduce((sum, plan, i) => sum + (plan.present ? 0 : files[i]!.bytes), 0);
  const stage = l10n.t('Sending {0}', megabytes(total));
  let done = 0;
  for (const [i, plan] of plans.entries()) {
    if (plan.present) continue;
    await send(files[i]!.local, announced[i]!, plan, runner, {
      ...(signal && { signal }),
      onProgress: (bytes) => onProgress?.(stage, (done + bytes) / total),
    });
    done += files[i]!.bytes;
  }
  const [first] = plans;
  return isFolder ? first!.path.slice(0, -files[0]!.name.length - 1) : first!.path;
}

/** What another window's or a broken attempt left may be spoilt: then the file is sent once more from its start. */
async function send(
  local: string,
  file: DataFile,
  { have_bytes, partial_path }: DataPlan,
  { host, peer }: Runner,
  options: TransferOptions,
): Promise<void> {
  await host.upload(local, partial_path, { ...options, from: have_bytes });
  try {
    await peer.request('data/commit', file, options.signal);
  } catch (error) {
    if (have_bytes === 0 || !(error instanceof TuneyardError) || error.code !== 'transfer_failed') throw error;
    await host.upload(local, partial_path, options);
    await peer.request('data/commit', file, options.signal);
  }
}

const nameOf = (local: string, folder: string) => relative(folder, local).split(sep).join(posix.sep);

/** Through links too: the hub's cache consists of them. */
async function filesUnder(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const local = join(folder, path);
    if ((await stat(local).catch(() => undefined))?.isFile()) files.push(local);
  }
  if (files.length > 0) return files;
  throw new TuneyardError('file_not_found', l10n.t('this folder is empty.'), { place: { file: folder } });
}

/** Hashing gigabytes for every run would be felt: what has not changed is not read again. */
const known = new Map<string, string>();

async function announce(
  paths: readonly string[],
  name: (path: string) => string,
  { signal, onProgress }: SyncOptions,
): Promise<(DataFile & { local: string })[]> {
  const stats = await Promise.all(paths.map((path) => stat(path)));
  const total = stats.reduce((sum, { size }) => sum + size, 0);
  const files: (DataFile & { local: string })[] = [];
  let read = 0;
  for (const [i, local] of paths.entries()) {
    const { size, mtimeMs, ino } = stats[i]!;
    const key = `${local}\n${size}\n${mtimeMs}\n${ino}`;
    let sha256 = known.get(key);
    if (sha256 === undefined) {
      const hash = createHash('sha256');
      for await (const piece of createReadStream(local, { highWaterMark: 1 << 20 })) {
        throwIfAborted(signal);
        hash.update(piece);
        read += piece.length;
        onProgress?.(l10n.t('Reading {0}', megabytes(total)), Math.min(1, read / total));
      }
      sha256 = hash.digest('hex');
      known.set(key, sha256);
    }
    files.push({ local, name: name(local), bytes: size, sha256 });
  }
  return files;
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toPrecision(bytes < 1e7 ? 2 : 3)} MB`;
