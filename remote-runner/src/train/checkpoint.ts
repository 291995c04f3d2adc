/**
 * Checkpoints: `step-N/` under a root, each a Hugging Face model directory with the optimizer's state, the trainer's
 * state and a manifest beside the weights.
 *
 * What a crash or a power cut can leave, whenever it comes: all is written and synced under `step-N.tmp-PID`, the
 * manifest last, and only then renamed. So a directory named `step-N` is whole unless the disk lost something, and the
 * manifest's sizes and hashes tell. A checkpoint is deleted by a rename first, so that half of one never has its name.
 */
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { asWriteError } from '../hub/diskError';
import { requireDiskSpace } from '../hub/diskSpace';
import { syncDirectory } from '../hub/durableFile';
import { ADAPTER_WEIGHTS_FILE, WEIGHTS_FILE } from '../hub/modelFiles';
import { openSafetensors } from '../hub/safetensors';
import { writeSafetensors } from '../hub/saveSafetensors';
import type { Weights } from '../hub/weights';
import {
  type Checkpoint,
  findFault,
  findPlainFault,
  listEntries,
  type Manifest,
  OPTIMIZER_FILE,
  readManifest,
  STATE_FILE,
} from './checkpointFiles';
import {
  copiedBytes,
  inNewDirectory,
  type ModelFiles,
  type NamedTensor,
  tensorBytes,
  writeJson,
  writeModelFiles,
} from './checkpointModel';
import { MANIFEST_FILE } from './manifestFile';

export type { Checkpoint } from './checkpointFiles';
export type { ModelFiles, NamedTensor } from './checkpointModel';
export { writeModelDir } from './checkpointModel';

export interface WriteCheckpointOptions {
  /** The run's `checkpoints` directory; made where it is not there. */
  root: string;
  /** Optimizer steps made so far. */
  step: number;
  modelFiles: ModelFiles;
  weights: readonly NamedTensor[];
  /** The optimizer's flat buffers. */
  optimizer: readonly NamedTensor[];
  /** Anything that JSON can hold. */
  state: unknown;
  signal?: AbortSignal | undefined;
}

/**
 * Saves a checkpoint; one of the same step is replaced. The tensors must not change until the promise settles.
 * @throws TuneyardError `disk_full`, `not_writable`, `cancelled`; nothing half-written stays
 */
export async function writeCheckpoint(options: WriteCheckpointOptions): Promise<{ path: string; bytes: number }> {
  const { root, step, modelFiles, weights, optimizer, state, signal } = options;
  const path = join(root, `step-${step}`);
  const temporary = `${path}.tmp-${process.pid}`;
  await requireDiskSpace(root, checkpointBytes(options) + (await copiedBytes(modelFiles.sourceDir)), 'a checkpoint');
  return inNewDirectory(temporary, path, async () => {
    const files = await writeModelFiles(temporary, modelFiles, weights, signal);
    files[OPTIMIZER_FILE] = await writeSafetensors(join(temporary, OPTIMIZER_FILE), optimizer, signal);
    files[STATE_FILE] = await writeJson(join(temporary, STATE_FILE), state);
    const manifest: Manifest = { version: 1, step, files };
    const { bytes } = await writeJson(join(temporary, MANIFEST_FILE), manifest);
    return Object.values(files).reduce((sum, file) => sum + file.bytes, bytes);
  });
}

/** Bytes that a checkpoint of these tensors takes, for a look at the disk before training begins. */
export function checkpointBytes(tensors: Pick<WriteCheckpointOptions, 'weights' | 'optimizer'>): number {
  return tensorBytes(tensors.weights) + tensorBytes(tensors.optimizer);
}

/** The checkpoints under `root` by step, ascending, whole or not. */
export async function listCheckpoints(root: string): Promise<Checkpoint[]> {
  return (await listEntries(root)).checkpoints;
}

const UNFINISHED = 'it was cut short while it was being written';

export interface LastGood {
  /** The newest checkpoint that is whole. */
  checkpoint: Checkpoint | undefined;
  /** Those that cannot be used, newest first; each reason completes "skipped, because …". */
  skipped: { path: string; reason: string }[];
}

/**
 * The checkpoint to go on from: the newest whose every file has the size and the hash of its manifest.
 * Changes nothing on the disk.
 * @throws TuneyardError `cancelled`
 */
export async function findLastGood(root: string, signal?: AbortSignal): Promise<LastGood> {
  const { checkpoints, unfinished, replaced } = await listEntries(root);
  // One that was being replaced when the process ended counts where the new one did not get its name.
  const orphaned = replaced.filter(({ step }) => !checkpoints.some((other) => other.step === step));
  const candidates = [
    ...checkpoints.map((checkpoint) => ({ checkpoint, reason: undefined })),
    ...orphaned.map((checkpoint) => ({ checkpoint, reason: undefined })),
    ...unfinished.map((checkpoint) => ({ checkpoint, reason: UNFINISHED })),
  ].sort((a, b) => b.checkpoint.step - a.checkpoint.step);
  const skipped: LastGood['skipped'] = [];
  for (const { checkpoint, reason } of candidates) {
    const fault = reason ?? (await findFault(checkpoint.path, signal));
    if (fault === undefined) return { checkpoint, skipped };
    skipped.push({ path: checkpoint.path, reason: fault });
  }
  return { checkpoint: undefined, skipped };
}

/**
 * {@link findLastGood} for whoever holds the run's lock and is about to train: first removes what a crash left being
 * written or deleted, and gives a checkpoint that was being replaced its name back. What was cut short is in `skipped`.
 * @throws TuneyardError `not_writable`, `cancelled`
 */
export async function recoverCheckpoints(root: string, signal?: AbortSignal): Promise<LastGood> {
  const { checkpoints, unfinished, replaced, deleted } = await listEntries(root);
  try {
    for (const old of replaced) {
      if (checkpoints.some(({ step }) => step === old.step)) deleted.push(old);
      else await rename(old.path, join(root, `step-${old.step}`));
    }
    for (const { path } of [...unfinished, ...deleted]) await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw asWriteError(error, root);
  }
  const { checkpoint, skipped } = await findLastGood(root, signal);
  const cutShort = unfinished.map(({ path }) => ({ path, reason: UNFINISHED })).reverse();
  return { checkpoint, skipped: [...cutShort, ...skipped] };
}

/**
 * For a run that goes on from a checkpoint before its newest: moves the later ones, which belong to another
 * continuation and would be taken for this one's, into a folder of their own.
 * @returns that folder, or nothing where there are no later ones
 * @throws TuneyardError `not_writable`
 */
export async function setAsideAfter(root: string, step: number): Promise<string | undefined> {
  const later = (await listCheckpoints(root)).filter((checkpoint) => checkpoint.step > step);
  if (later.length === 0) return undefined;
  const folder = join(root, `set-aside-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  try {
    await mkdir(folder);
    for (const { path } of later) await rename(path, join(folder, basename(path)));
    await syncDirectory(root);
  } catch (error) {
    throw asWriteError(error, root);
  }
  return folder;
}

/** A checkpoint opened for reading. */
export interface OpenCheckpoint extends Checkpoint {
  /** What the writer gave as `state`; its reader checks it. */
  state: unknown;
  weights: Weights;
  optimizer: Weights;
  /** Fills the tensors' data from the checkpoint's weights. @throws TuneyardError `checkpoint_invalid` */
  loadWeights(into: readonly NamedTensor[], signal?: AbortSignal): Promise<void>;
  /** The same for the optimizer's state. */
  loadOptimizer(into: readonly NamedTensor[], signal?: AbortSignal): Promise<void>;
}

/**
 * Opens a checkpoint.
 * @param verified pass true only right after {@link findLastGood} has read every byte of it
 * @throws TuneyardError `checkpoint_invalid` where it is not whole
 */
export async function readCheckpoint(
  path: string,
  { verified = false, signal }: { verified?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<OpenCheckpoint> {
  const manifest = await readManifest(path);
  const fault = typeof manifest === 'string' ? manifest : verified ? undefined : await findFault(path, signal);
  if (typeof manifest === 'string' || fault !== undefined) {
    throw invalid(path, `this checkpoint cannot be used, because ${fault}; use the one before it.`);
  }
  const state: unknown = JSON.parse(await readFile(join(path, STATE_FILE), 'utf8'));
  const file = ADAPTER_WEIGHTS_FILE in manifest.files ? ADAPTER_WEIGHTS_FILE : WEIGHTS_FILE;
  const weights = await openSafetensors(join(path, file));
  const optimizer = await openSafetensors(join(path, OPTIMIZER_FILE));
  return {
    step: manifest.step,
    path,
    state,
    weights,
    optimizer,
    loadWeights: (into, signal) => load(path, weights, into, signal),
    loadOptimizer: (into, signal) => load(path, optimizer, into, signal),
  };
}

/** Fills the tensors; names and shapes must be those that were saved, none missing and none left over. */
async function load(
  path: string,
  saved: Weights,
  into: readonly NamedTensor[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { name, shape } of into) {
    if (!saved.has(name))
      throw invalid(path, `this checkpoint has no tensor "${name}"; it is of another model or optimizer.`);
    const found = saved.info(name).shape;
    if (found.length === shape.length && found.every((size, axis) => size === shape[axis])) continue;
    throw invalid(
      path,
      `tensor "${name}" has shape [${found.join(', ')}] in this checkpoint and [${shape.join(', ')}] in the model; it is of another model or optimizer.`,
    );
  }
  if (saved.names().length !== into.length) {
    const wanted = new Set(into.map(({ name }) => name));
    const extra = saved.names().find((name) => !wanted.has(name));
    throw invalid(path, `this checkpoint has a tensor "${extra}" that the model or optimizer lacks.`);
  }
  for (const { name, data } of into) await saved.readFloat32(name, data, signal);
}

export interface PruneOptions {
  /** `save_total_limit`; undefined keeps all. */
  limit?: number | undefined;
  /** Steps never deleted: the best metric's, and the one to resume from (default: the newest). */
  best?: number | undefined;
  last?: number | undefined;
  /** Paths of checkpoints that are known to be damaged, as {@link recoverCheckpoints} found them. */
  damaged?: readonly string[];
}

/**
 * Deletes checkpoints until `limit` are left, never the best and never the last: first those that cannot be used, so
 * that none of them takes the place of a good one, then the oldest. Bytes are not read for this: damage that only
 * shows in them has to be known.
 * @returns the paths removed
 * @throws TuneyardError `not_writable`
 */
export async function pruneCheckpoints(root: string, options: PruneOptions): Promise<string[]> {
  const { limit, best, last, damaged = [] } = options;
  if (limit === undefined) return [];
  const checkpoints = await listCheckpoints(root);
  const excess = Math.max(0, checkpoints.length - Math.max(1, limit));
  if (excess === 0) return [];
  const kept = new Set([best, last ?? checkpoints.at(-1)?.step]);
  const removable = checkpoints.filter(({ step }) => !kept.has(step));
  const faults = await Promise.all(removable.map(({ path }) => damaged.includes(path) || findPlainFault(path)));
  const doomed = [...removable.filter((_, i) => faults[i]), ...removable.filter((_, i) => !faults[i])].slice(0, excess);
  try {
    const renamed: string[] = [];
    for (const { path } of doomed) {
      const trash = `${path}.del-${process.pid}`;
      await rm(trash, { recursive: true, force: true });
      await rename(path, trash);
      renamed.push(trash);
    }
    if (renamed.length > 0) await syncDirectory(root);
    for (const trash of renamed) await rm(trash, { recursive: true, force: true });
  } catch (error) {
    throw asWriteError(error, root);
  }
  return doomed.map(({ path }) => path);
}

function invalid(file: string, what: string): TuneyardError {
  return new TuneyardError('checkpoint_invalid', what, { place: { file } });
}
