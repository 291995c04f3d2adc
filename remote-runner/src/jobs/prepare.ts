/** What every job begins with: the model's folder, its tokenizer, the samples; checked against each other. */
import { homedir } from 'node:os';
import { resolve as resolvePath } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import { fullDataset, type LoadedDataset, loadDataset } from '../data/dataset';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import { formatBytes } from '../hub/diskSpace';
import { resolveModel } from '../hub/download';
import { openAdapter } from '../methods/peftAdapter';
import { modelWith } from '../methods/softPromptAdapter';
import { type OpenModel, openModel } from '../models/loadModel';

export interface PreparedModel extends LocatedFiles {
  tokenizer: Tokenizer;
  /** Any id of the vocabulary: nothing is learned from padding. */
  padTokenId: number;
}

export interface PrepareOptions {
  baseDir: string;
  revision?: string | undefined;
  signal?: AbortSignal | undefined;
  onStage?: ((stage: string) => void) | undefined;
  onWarning?: ((message: string) => void) | undefined;
}

/** A model's files, of which an adapter may name the base. */
export interface LocatedFiles extends OpenModel {
  /** The base model's folder. */
  dir: string;
  /** What to call the base model elsewhere: its folder, or its name on the hub. */
  base: string;
}

/**
 * @param resolve the folder of a folder's path or a hub name
 * @throws TuneyardError what `resolve`, `openModel` and `openAdapter` throw
 */
export async function openFiles(
  named: string,
  resolve: (name: string) => Promise<string>,
  baseDir: string,
): Promise<LocatedFiles> {
  const found = await resolve(named);
  const adapter = await openAdapter(found);
  const name = adapter?.base ?? named;
  const dir = adapter ? await resolve(name) : found;
  const isFolder = resolvePath(baseDir, name.replace(/^~(?=$|\/)/, homedir())) === dir;
  const opened = await openModel(dir);
  return { ...opened, model: modelWith(opened.model, adapter), adapter, dir, base: isFolder ? dir : name };
}

/**
 * Finds (downloads, where it is a hub name) and opens a model.
 * @throws TuneyardError what `resolveModel`, `openModel` and `loadTokenizer` throw; `vocabulary_too_small`
 */
export async function prepareModel(nameOrPath: string, options: PrepareOptions): Promise<PreparedModel> {
  const { baseDir, revision, signal, onStage, onWarning } = options;
  const resolve = (name: string) =>
    resolveModel(name, {
      baseDir,
      ...(revision ? { revision } : {}),
      ...(signal ? { signal } : {}),
      onProgress: ({ file, bytes, totalBytes }) =>
        onStage?.(`Downloading ${file} (${formatBytes(bytes)} of ${formatBytes(totalBytes)})`),
      onWarning: (message) => onWarning?.(message),
    });
  onStage?.('Opening the model');
  const opened = await openFiles(nameOrPath, resolve, baseDir);
  const { dir } = opened;
  const tokenizer = await loadTokenizer(dir);
  if (tokenizer.vocabSize > opened.model.vocabSize) {
    throw new TuneyardError(
      'vocabulary_too_small',
      `the model's vocabulary has ${opened.model.vocabSize} entries, its tokenizer knows ${tokenizer.vocabSize} tokens: use the tokenizer that belongs to the model.`,
      { place: { file: dir } },
    );
  }
  return { ...opened, tokenizer, padTokenId: tokenizer.padTokenId ?? tokenizer.eosTokenId ?? 0 };
}

export interface PreparedSamples extends LoadedDataset {
  /** The recipe's, or the model's positions where it has fewer. */
  maxLength: number;
}

/** Reads and tokenizes the data as the recipe says, for this model. @throws TuneyardError what `loadDataset` throws */
export async function prepareSamples(
  recipe: Recipe,
  { dir, model, tokenizer }: PreparedModel,
  options: PrepareOptions,
): Promise<PreparedSamples> {
  const { baseDir, signal, onStage, onWarning } = options;
  const maxLength = Math.min(recipe.max_length, model.maxPositions);
  onStage?.('Reading the data');
  const samples = await loadDataset(recipe.dataset, {
    tokenizer,
    tokenizerDir: dir,
    maxLength,
    seed: recipe.seed,
    baseDir,
    ...(signal ? { signal } : {}),
    ...(onStage ? { onStage } : {}),
    ...(onWarning ? { onWarning } : {}),
  });
  const warnings = [...samples.warnings];
  if (recipe.group_by_length && fullDataset(recipe.dataset).shuffle === false) {
    warnings.push('group_by_length is not used: dataset.shuffle is false, so that the samples keep their order.');
  }
  // The default of 512 is no wish of the user's: only what is cut shorter than asked for is worth a word.
  const longest = Math.max(...samples.train.map((sample) => sample.inputIds.length));
  if (maxLength < recipe.max_length && longest === maxLength) {
    warnings.push(
      `max_length ${recipe.max_length} is more than the model's ${model.maxPositions} positions: samples are cut at ${maxLength} tokens.`,
    );
  }
  return { ...samples, warnings, maxLength };
}
