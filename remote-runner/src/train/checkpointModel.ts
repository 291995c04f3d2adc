/** The part of a checkpoint that transformers reads: a Hugging Face model directory. */

import { createReadStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from '../hub/diskError';
import { requireDiskSpace } from '../hub/diskSpace';
import { type FileDigest, syncDirectory, writeSynced } from '../hub/durableFile';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  TOKENIZER_FILES,
  WEIGHTS_FILE,
} from '../hub/modelFiles';
import { isProcessAlive } from '../hub/processAlive';
import { writeSafetensors } from '../hub/saveSafetensors';

/** A tensor by name; `data` is row-major float32 and may be a view into a larger buffer. */
export interface NamedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array;
  dtype?: 'F32';
}

/** Where the files beside the weights come from. */
export interface ModelFiles {
  /** The base model's directory: tokenizer files and generation_config.json are copied from it where it has them. */
  sourceDir: string;
  /** The base model's `config.json`. */
  config: Readonly<Record<string, unknown>>;
  /** Only what is beside the base model is saved: its `adapter_config.json`. */
  adapter?: Readonly<Record<string, unknown>> | undefined;
}

const COPIED_FILES = [GENERATION_CONFIG_FILE, ...TOKENIZER_FILES];

export interface WriteModelDirOptions extends ModelFiles {
  dir: string;
  weights: readonly NamedTensor[];
  signal?: AbortSignal | undefined;
}

/**
 * Saves a model as transformers loads it. A model that lies at `dir` already is replaced as a whole; a folder that
 * holds anything else is left alone.
 * @returns the folder and the bytes written
 * @throws TuneyardError `disk_full`, `not_writable`, `cancelled`
 */
export async function writeModelDir(options: WriteModelDirOptions): Promise<{ path: string; bytes: number }> {
  const { weights, signal } = options;
  const dir = resolve(options.dir);
  await refuseOtherFiles(dir);
  await requireDiskSpace(dirname(dir), tensorBytes(weights) + (await copiedBytes(options.sourceDir)), 'the model');
  const temporary = `${dir}.tmp-${process.pid}`;
  const written = await inNewDirectory(temporary, dir, async () => {
    const files = await writeModelFiles(temporary, options, weights, signal);
    return Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  });
  await removeLeftovers(dir);
  return written;
}

/** What killed processes left beside `dir` while they were saving a model there. */
async function removeLeftovers(dir: string): Promise<void> {
  const prefix = `${basename(dir)}.`;
  for (const name of await readdir(dirname(dir))) {
    const pid = name.startsWith(prefix) ? /^(?:tmp|old)-(\d+)$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (pid === undefined || isProcessAlive(Number(pid))) continue;
    await rm(join(dirname(dir), name), { recursive: true, force: true });
  }
}

/**
 * Makes `temporary`, has it filled, syncs it and renames it to `path`; what lay at `path` is gone only after that.
 * Where anything fails, `temporary` is removed and `path` is as it was.
 * @param fill writes and syncs the files, returns their bytes
 */
export async function inNewDirectory(
  temporary: string,
  path: string,
  fill: () => Promise<number>,
): Promise<{ path: string; bytes: number }> {
  const parent = dirname(path);
  try {
    await mkdir(parent, { recursive: true });
    // A process of the same id may have died here before.
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    const bytes = await fill();
    await syncDirectory(temporary);
    const old = `${path}.old-${process.pid}`;
    await rm(old, { recursive: true, force: true });
    const replaced = await renameIfThere(path, old);
    try {
      await rename(temporary, path);
    } catch (error) {
      if (replaced) await rename(old, path);
      throw error;
    }
    await syncDirectory(parent);
    if (replaced) await rm(old, { recursive: true, force: true });
    return { path, bytes };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw asWriteError(error, path);
  }
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Writes config.json, the copied files and model.safetensors into a new directory, each synced.
 * @returns what was written, by file name
 */
export async function writeModelFiles(
  dir: string,
  { sourceDir, config, adapter }: ModelFiles,
  weights: readonly NamedTensor[],
  signal?: AbortSignal,
): Promise<Record<string, FileDigest>> {
  const files: Record<string, FileDigest> = {};
  if (adapter) files[ADAPTER_CONFIG_FILE] = await writeJson(join(dir, ADAPTER_CONFIG_FILE), adapter);
  else files[CONFIG_FILE] = await writeJson(join(dir, CONFIG_FILE), asFloat32(config));
  for (const name of COPIED_FILES) {
    const source = join(sourceDir, name);
    const stats = await stat(source).catch(() => undefined);
    if (stats?.isFile()) files[name] = await writeSynced(join(dir, name), createReadStream(source), signal);
  }
  const name = adapter ? ADAPTER_WEIGHTS_FILE : WEIGHTS_FILE;
  files[name] = await writeSafetensors(join(dir, name), weights, signal);
  return files;
}

/** Two spaces and a final newline, as transformers writes its own. */
export async function writeJson(path: string, value: unknown): Promise<FileDigest> {
  return writeSynced(path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)]);
}

/** Bytes of the files that come from the base model; some tokenizers take tens of megabytes. */
export async function copiedBytes(sourceDir: string): Promise<number> {
  let bytes = 0;
  for (const name of COPIED_FILES) {
    const stats = await stat(join(sourceDir, name)).catch(() => undefined);
    bytes += stats?.isFile() ? stats.size : 0;
  }
  return bytes;
}

/** Bytes of the tensors' data. */
export function tensorBytes(tensors: readonly NamedTensor[]): number {
  return tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** The weights saved are float32 whatever the base's were; transformers 5 says so under another name than 4. */
function asFloat32(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = { ...config, torch_dtype: 'float32' };
  if ('dtype' in config) result.dtype = 'float32';
  return result;
}

/** Replacing a folder deletes what is in it: that must never be a person's other files. */
async function refuseOtherFiles(dir: string): Promise<void> {
  const present = await readdir(dir).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw asWriteError(error, dir);
  });
  const ours = new Set([CONFIG_FILE, WEIGHTS_FILE, ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, ...COPIED_FILES]);
  const other = present.find((name) => !ours.has(name));
  if (other === undefined) return;
  throw new TuneyardError(
    'not_writable',
    `this folder holds "${other}", which is no part of a saved model and would be lost; choose a new folder.`,
    { place: { file: dir } },
  );
}
