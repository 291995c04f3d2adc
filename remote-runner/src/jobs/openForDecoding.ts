/**
 * From whatever a person calls a model (a folder, a hub name, a run, a checkpoint) to one that can write text.
 */
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Engine } from '../engine/engine';
import type { OpenModel } from '../generate/compare';
import { eosTokens } from '../generate/eosTokens';
import { createDecoder, type ReleasableDecoder } from '../generate/kvCache';
import { loadParameters } from '../models/loadModel';
import { newBuilder } from '../ops/index';
import { isRun, openRun } from '../runs/runDir';
import type { Arena } from '../train/arena';
import { findLastGood } from '../train/checkpoint';
import { findFault, readManifest } from '../train/checkpointFiles';
import { MANIFEST_FILE } from '../train/manifestFile';
import { type PreparedModel, type PrepareOptions, prepareModel } from './prepare';

export interface LocatedModel {
  /** A folder in Hugging Face's format (absolute), or a name on the hub. */
  name: string;
  /** Training step of a checkpoint. */
  step?: number;
}

/**
 * What a name stands for. A run stands for its final model or, where it has none yet, its last good checkpoint; it may
 * also be named by its id.
 * @throws TuneyardError `checkpoint_invalid` for a checkpoint that is not whole and a run that has saved nothing;
 *   `run_not_found`, `usage` for what looks like a run's id and is none, or begins several; `cancelled`
 */
export async function locateModel(named: string, baseDir: string, signal?: AbortSignal): Promise<LocatedModel> {
  const dir = resolve(baseDir, named.replace(/^~(?=$|\/)/, homedir()));
  if (!(await isFolder(dir))) {
    // Ids of runs begin with the date; no name on the hub looks so.
    if (/^\d{8}-\d/.test(named)) return modelOfRun((await openRun(named)).dir, signal);
    return { name: named };
  }
  if (await isRun(dir)) return modelOfRun(dir, signal);
  const isCheckpoint = (await stat(join(dir, MANIFEST_FILE)).catch(() => undefined))?.isFile();
  if (!isCheckpoint) return { name: dir };
  const manifest = await readManifest(dir);
  const fault = typeof manifest === 'string' ? manifest : await findFault(dir, signal);
  if (typeof manifest === 'string' || fault !== undefined) {
    throw new TuneyardError(
      'checkpoint_invalid',
      `this checkpoint cannot be used, because ${fault}; use the one before it.`,
      { place: { file: dir } },
    );
  }
  return { name: dir, step: manifest.step };
}

/** {@link locateModel} for whoever only wants the folder or the hub name. */
export async function modelDirOf(named: string, baseDir: string, signal?: AbortSignal): Promise<string> {
  return (await locateModel(named, baseDir, signal)).name;
}

async function modelOfRun(dir: string, signal: AbortSignal | undefined): Promise<LocatedModel> {
  const final = join(dir, 'model');
  if (await isFolder(final)) return { name: final };
  const { checkpoint, skipped } = await findLastGood(join(dir, 'checkpoints'), signal);
  if (checkpoint) return { name: checkpoint.path, step: checkpoint.step };
  const [newest] = skipped;
  throw new TuneyardError(
    'checkpoint_invalid',
    newest
      ? `this run has no checkpoint that can be used: ${newest.path} is not, because ${newest.reason}; resume the run, or start it anew.`
      : 'this run has not saved a model yet; wait for its first checkpoint.',
    { place: { file: dir } },
  );
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() === true;
}

export interface OpenForDecodingOptions extends PrepareOptions {
  /** Where to compute; it stays the caller's. */
  engine: Engine;
}

/** A model in memory, with its tokenizer, the tokens that end its texts, and its decoder. */
export interface DecodableModel extends OpenModel, PreparedModel {
  tokenizer: PreparedModel['tokenizer'];
  decoder: ReleasableDecoder;
  eosTokenIds: readonly number[];
  parameters: Arena;
  release(): Promise<void>;
}

/**
 * Opens a model that {@link locateModel} found.
 * @throws TuneyardError what {@link prepareModel} throws, `weights_invalid`, `out_of_memory`, `cancelled`
 */
export async function openForDecoding(
  { name }: LocatedModel,
  options: OpenForDecodingOptions,
): Promise<DecodableModel> {
  const prepared = await prepareModel(name, options);
  options.onStage?.('Loading the weights');
  const parameters = await loadParameters(prepared, options.signal);
  const { memory } = options.engine;
  await memory?.adopt(parameters.data);
  const decoder = createDecoder({ engine: options.engine, newBuilder, model: prepared.model, parameters });
  return {
    ...prepared,
    parameters,
    decoder,
    eosTokenIds: eosTokens(prepared.tokenizer, prepared.source.generationConfig),
    release: async () => {
      await decoder.release();
      memory?.release(parameters.data);
    },
  };
}
