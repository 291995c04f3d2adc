/** From a recipe's `dataset` to the samples of a run: read, split, choose, tokenize, pack. */
import { isAbsolute, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { type DatasetRecipe, datasetSchema } from '@protocol/recipe';
import { formatBytes } from '../hub/diskSpace';
import { type ResolvedFormat, requireTrainable, resolveFormat } from './formats/resolveFormat';
import { testPaths } from './heldOut';
import { localData } from './hubSources';
import { packSamples } from './pack';
import { type Row, readerFor, readRows } from './readers';
import { rowFilter } from './rowFilter';
import { selectRows, splitSamples } from './selectRows';
import { refuseUnsupervised, type Sample, type TokenizeOptions, tokenizeRow } from './tokenize';
import type { Tokenizer } from './tokenizer';
import { threadsFor, tokenizeInThreads } from './workers/tokenizeInThreads';

export interface LoadDatasetOptions {
  tokenizer: Tokenizer;
  /** The tokenizer's folder: with it, threads can tokenize much data on all cores. */
  tokenizerDir?: string;
  /** Longest sample (or length of a packed block) in tokens. */
  maxLength: number;
  /** Seed of the split. */
  seed: number;
  /** What relative paths are relative to: the recipe's folder. */
  baseDir: string;
  signal?: AbortSignal;
  /** Told what is being fetched from the hub. */
  onStage?: (stage: string) => void;
  /** Told when the hub is out of reach and what is in the cache is used. */
  onWarning?: (message: string) => void;
}

export interface LoadedDataset {
  train: Sample[];
  eval: Sample[];
  /** What a person should know before training on this. */
  warnings: string[];
  /** The file, absolute if `baseDir` is. */
  path: string;
}

/** A file's rows and how they become text. */
export interface DatasetRows {
  path: string;
  format: string;
  rows: Row[];
  /** All columns that come in any row, in order of appearance. */
  columns: string[];
  sampleFormat: ResolvedFormat;
  /** Rows of each file: of `path`, then of each of `sources`; those that the filter leaves out do not count. */
  counts?: number[];
}

/** Rows by which a format is told. */
export const FORMAT_ROWS = 100;

/** A recipe's `dataset` may be just a path. */
export function fullDataset(dataset: DatasetRecipe | string): DatasetRecipe {
  return typeof dataset === 'string' ? datasetSchema.parse({ path: dataset }) : dataset;
}

/**
 * Reads a dataset and makes the samples of a run. The same recipe and seed give the same samples in the same order.
 * Rows are split first and tokenized after, so that a few samples of a large file are quick; with `max_train_samples`
 * the first of the training rows are taken (in random order, unless nothing is held out from the file). Packed data is split by blocks.
 *
 * @throws TuneyardError what {@link localData} and {@link loadRows} throw; `dataset_invalid`, `no_supervised_tokens` for
 *   rows that cannot be used; `dataset_empty` where nothing is left to train on; `cancelled`
 */
export async function loadDataset(
  dataset: DatasetRecipe | string,
  options: LoadDatasetOptions,
): Promise<LoadedDataset> {
  const recipe = await localData(fullDataset(dataset), {
    signal: options.signal,
    onWarning: options.onWarning,
    onProgress: ({ file, bytes, totalBytes }) =>
      options.onStage?.(`Downloading ${file} (${formatBytes(bytes)} of ${formatBytes(totalBytes)})`),
  });
  const data = await loadSources(recipe, options);
  requireTrainable(data.sampleFormat, { file: data.path });
  const warnings = [...data.sampleFormat.warnings];
  const tests = testPaths(recipe);
  const make = (from: DatasetRows, rows: Row[]) => makeSamples(from, rows, recipe, options);

  let train: Sample[];
  let evaluation: Sample[];
  if (recipe.pack) {
    if ([recipe, ...(recipe.sources ?? [])].some(({ weight }) => (weight ?? 1) !== 1)) {
      const what = 'packed data has no rows to weigh: take `weight` out, or set `pack` to false.';
      throw new TuneyardError('recipe_invalid', what, { data: { key: 'dataset.weight' } });
    }
    const blocks = await make(data, data.rows);
    const { train: trained, test } = splitSamples(blocks.length, recipe, options.seed);
    train = pick(blocks, trained, recipe.max_train_samples);
    evaluation = pick(blocks, test, recipe.max_eval_samples);
  } else {
    const { train: trained, test } = selectRows(data.counts ?? [data.rows.length], recipe, options.seed);
    train = await make(data, pick(data.rows, trained, recipe.max_train_samples));
    evaluation = await make(data, pick(data.rows, test, recipe.max_eval_samples));
  }
  for (const path of tests) {
    const left = (recipe.max_eval_samples ?? Number.POSITIVE_INFINITY) - evaluation.length;
    if (left <= 0) break;
    const testData = await loadRows(path, recipe, options);
    const made = await make(testData, recipe.pack ? testData.rows : testData.rows.slice(0, left));
    evaluation = [...evaluation, ...made.slice(0, left)];
  }
  if (train.length === 0) {
    const why = recipe.test_size === 1 ? 'test_size is 1: lower it' : 'its rows hold too little text';
    throw new TuneyardError('dataset_empty', `nothing is left to train on (${why}).`, { place: { file: data.path } });
  }
  if (evaluation.length === 0 && (recipe.test_size > 0 || tests.length > 0)) {
    warnings.push('There is too little data to hold any out: this run has no evaluation.');
  }
  const cut = train.filter((sample) => sample.truncated).length;
  if (cut > 0) {
    const share = ((100 * cut) / train.length).toFixed(1);
    warnings.push(
      `${cut} of ${train.length} training samples (${share}%) are longer than max_length ${options.maxLength} and lose their end.`,
    );
  }
  if (recipe.append_eos && options.tokenizer.eosTokenId === undefined) {
    warnings.push('The tokenizer has no end-of-sequence token: the model does not learn where a sample ends.');
  }
  return { train, eval: evaluation, warnings, path: data.path };
}

/**
 * Reads all files that are trained on, one after the other.
 *
 * @throws TuneyardError what {@link loadRows} throws; `dataset_empty` where the filter leaves nothing
 */
export async function loadSources(
  recipe: DatasetRecipe,
  options: { baseDir: string; tokenizer?: Tokenizer; signal?: AbortSignal },
): Promise<DatasetRows> {
  const first = await loadRows(recipe.path, recipe, options);
  const counts = [first.rows.length];
  for (const { path } of recipe.sources ?? []) {
    const more = await loadRows(path, recipe, options);
    if (more.sampleFormat.name !== first.sampleFormat.name) {
      throw new TuneyardError(
        'dataset_invalid',
        `the rows are in the format "${more.sampleFormat.name}", those of ${first.path} in "${first.sampleFormat.name}"; files are mixed only where they have one format.`,
        { place: { file: more.path } },
      );
    }
    counts.push(more.rows.length);
    for (const row of more.rows) first.rows.push({ ...row, file: more.path });
    first.columns = [...new Set([...first.columns, ...more.columns])];
  }
  if (first.rows.length === 0) {
    throw new TuneyardError('dataset_empty', 'the filter leaves no row; change `dataset.filter`.', {
      place: { file: first.path },
    });
  }
  return { ...first, counts };
}

/**
 * Reads a dataset file whole and works out its template.
 *
 * @throws TuneyardError of the readers (`file_not_found`, `dataset_invalid`, `encoding_invalid`, `dataset_empty`), and
 *   of the template (`template_invalid`, `column_missing`)
 */
export async function loadRows(
  file: string,
  recipe: DatasetRecipe,
  options: { baseDir: string; tokenizer?: Tokenizer; signal?: AbortSignal },
): Promise<DatasetRows> {
  const path = isAbsolute(file) ? file : join(options.baseDir, file);
  const rows: Row[] = [];
  const columns = new Set<string>();
  const first: Row['values'][] = [];
  const keeps = rowFilter(recipe.filter);
  const read = { signal: options.signal, textRows: recipe.pack ? 'document' : 'paragraph' } as const;
  for await (const row of readRows(path, read)) {
    // A format is told by the file, whatever part of it is used.
    if (first.length < FORMAT_ROWS) first.push(row.values);
    for (const column in row.values) columns.add(column);
    if (!keeps || keeps(row.values)) rows.push(row);
  }
  const how = { place: { file: path }, chat: options.tokenizer?.chatTemplate };
  const sampleFormat = resolveFormat(recipe, [...columns], first, how);
  return { path, format: readerFor(path).name, rows, columns: [...columns], sampleFormat };
}

/** How rows of this data are tokenized; with `pack`, whole rows, that are cut into blocks after. */
export function tokenizeOptions(
  data: DatasetRows,
  recipe: DatasetRecipe,
  options: { tokenizer: Tokenizer; maxLength: number },
): TokenizeOptions {
  return {
    tokenizer: options.tokenizer,
    sampleFormat: data.sampleFormat,
    maxLength: recipe.pack ? Number.POSITIVE_INFINITY : options.maxLength,
    trainOnPrompt: recipe.train_on_prompt,
    appendEos: recipe.append_eos,
    file: data.path,
  };
}

/** Tokenizes rows; those that cannot be used come back as errors with their lines. */
export async function tokenizeRows(
  rows: readonly Row[],
  options: TokenizeOptions,
  signal?: AbortSignal,
): Promise<{ samples: Sample[]; errors: TuneyardError[] }> {
  const samples: Sample[] = [];
  const errors: TuneyardError[] = [];
  for (const [index, row] of rows.entries()) {
    // Leave room for a cancellation to arrive.
    if (index % 256 === 255) await setImmediate();
    if (signal?.aborted) throw new TuneyardError('cancelled', 'reading the data was cancelled.');
    try {
      samples.push(tokenizeRow(row, options));
    } catch (error) {
      if (!(error instanceof TuneyardError) || error.code === 'tokenizer_invalid') throw error;
      errors.push(error);
    }
  }
  return { samples, errors };
}

/** Blocks of packed samples; for a text file a block's line is where it begins in the file. */
export function packRows(
  samples: readonly Sample[],
  data: DatasetRows,
  tokenizer: Tokenizer,
  length: number,
): Sample[] {
  const isDocument = data.format === 'plain text';
  return packSamples(samples, length, isDocument ? (ids) => tokenizer.decode(ids).split('\n').length - 1 : undefined);
}

async function makeSamples(
  data: DatasetRows,
  rows: Row[],
  recipe: DatasetRecipe,
  options: LoadDatasetOptions,
): Promise<Sample[]> {
  const { samples, errors } = await tokenizeAll(data, rows, recipe, options);
  // The rows come in the order of the split; what is wrong with them is said in the file's.
  errors.sort((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0));
  const broken = errors.find((error) => error.code !== 'no_supervised_tokens');
  if (broken) throw broken;
  if (errors.length > 0) throw refuseUnsupervised(errors);
  return recipe.pack ? packRows(samples, data, options.tokenizer, options.maxLength) : samples;
}

/** On all cores where that is faster; the samples are the same. */
async function tokenizeAll(data: DatasetRows, rows: Row[], recipe: DatasetRecipe, options: LoadDatasetOptions) {
  const { tokenizerDir: dir, maxLength, signal } = options;
  const threads = dir === undefined ? 1 : threadsFor(rows);
  if (dir === undefined || threads < 2) {
    return tokenizeRows(rows, tokenizeOptions(data, recipe, options), signal);
  }
  const { rows: _, ...rest } = data;
  return tokenizeInThreads({ dir, data: rest, recipe, maxLength, rows }, threads, signal);
}

function pick<T>(items: readonly T[], indexes: Uint32Array, limit: number | undefined): T[] {
  return Array.from(indexes.subarray(0, limit), (index) => items[index]!);
}
