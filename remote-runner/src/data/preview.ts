/**
 * What `preview` shows: what training would see, made by the very functions that training uses, so that a dataset that
 * previews well does not fail in training.
 */
import type { DatasetPreview, PreviewSample } from '@protocol/preview';
import type { DatasetRecipe } from '@protocol/recipe';
import { fullDataset, loadRows, loadSources, packRows, tokenizeOptions, tokenizeRows } from './dataset';
import { testPaths } from './heldOut';
import { localData } from './hubSources';
import { selectRows } from './selectRows';
import { datasetStats } from './stats';
import { IGNORED, type Sample } from './tokenize';
import type { Tokenizer } from './tokenizer';

export interface PreviewOptions {
  tokenizer: Tokenizer;
  maxLength: number;
  seed: number;
  baseDir: string;
  /** How many samples to show; default 3. */
  samples?: number;
  signal?: AbortSignal;
}

const MOST_UNUSABLE = 100;

/**
 * Looks at a whole dataset. Rows that training would refuse are listed; a file that cannot be read at all is an error.
 *
 * @throws TuneyardError what `loadRows` throws; `cancelled`
 */
export async function previewDataset(
  dataset: DatasetRecipe | string,
  options: PreviewOptions,
): Promise<DatasetPreview> {
  const recipe = await localData(fullDataset(dataset), { signal: options.signal });
  const { tokenizer, maxLength, signal } = options;
  const data = await loadSources(recipe, options);
  const made = await tokenizeRows(data.rows, tokenizeOptions(data, recipe, options), signal);
  const samples = recipe.pack ? packRows(made.samples, data, tokenizer, maxLength) : made.samples;

  const isWhole = recipe.pack || made.errors.length > 0;
  const split = selectRows(isWhole ? [samples.length] : (data.counts ?? []), recipe, options.seed);
  let held = split.test.length;
  for (const path of testPaths(recipe)) held += (await evalRows(path, recipe, options)).length;
  const limit = (count: number, most: number | undefined) => Math.min(count, most ?? count);
  return {
    path: data.path,
    format: data.format,
    rows: data.rows.length,
    columns: data.columns,
    template: data.sampleFormat.source,
    ...(data.sampleFormat.target === undefined ? {} : { targetColumn: data.sampleFormat.target }),
    train: limit(split.train.length, recipe.max_train_samples),
    eval: limit(held, recipe.max_eval_samples),
    stats: datasetStats(samples),
    unusable: {
      count: made.errors.length,
      rows: made.errors.slice(0, MOST_UNUSABLE).map(({ place, what }) => ({ line: place?.line ?? 0, reason: what })),
    },
    samples: samples.slice(0, options.samples ?? 3).map((sample) => showSample(sample, tokenizer)),
  };
}

/** A sample token by token. The first token is never learned: nothing comes before it. */
function showSample(sample: Sample, tokenizer: Tokenizer): PreviewSample {
  const isSupervised = (t: number) => t > 0 && sample.labels[t] !== IGNORED;
  const parts: PreviewSample['parts'] = [];
  const { inputIds } = sample;
  for (let start = 0, end = 1; start < inputIds.length; end++) {
    if (end < inputIds.length && isSupervised(end) === isSupervised(start)) continue;
    // Not joined from the tokens' texts: a character may be split between tokens.
    parts.push({ text: tokenizer.decode(inputIds.subarray(start, end)), supervised: isSupervised(start) });
    start = end;
  }
  return {
    line: sample.line,
    truncated: sample.truncated,
    text: tokenizer.decode(inputIds),
    tokens: Array.from(inputIds, (id, t) => ({ id, text: tokenizer.tokenText(id), supervised: isSupervised(t) })),
    parts,
  };
}

async function evalRows(path: string, recipe: DatasetRecipe, options: PreviewOptions): Promise<Sample[]> {
  const data = await loadRows(path, recipe, options);
  const { samples } = await tokenizeRows(data.rows, tokenizeOptions(data, recipe, options), options.signal);
  return recipe.pack ? packRows(samples, data, options.tokenizer, options.maxLength) : samples;
}
