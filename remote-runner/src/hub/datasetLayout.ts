/**
 * Which files of a dataset repository are which split of which configuration: by the `configs` of its card, else by the
 * names of files and folders, as https://huggingface.co/docs/hub/datasets-file-names-and-splits describes. Pure.
 */
import { extname } from 'node:path';
import picomatch from 'picomatch';
import { parse } from 'yaml';

export interface DatasetConfig {
  name: string;
  /** Taken where none is asked for. */
  isDefault: boolean;
  /** Split → paths of its files, in order. */
  splits: Record<string, string[]>;
}

const EXTENSIONS = ['.parquet', '.jsonl', '.ndjson', '.json', '.csv', '.tsv', '.txt'];
/** Of the repository, not of the data. */
const NO_DATA = /(^|\/)(readme|license|licence|requirements|dataset_infos?|croissant|\.[^/]*)(\.[a-z]+)?$/i;
const SHARDS = /(^|\/)data\/([\w.]+)-\d{5}-of-\d{5}[^/]*$/;
const KEYWORDS: Record<string, string> = {
  train: 'train|training',
  validation: 'validation|valid|val|dev',
  test: 'test|testing|eval|evaluation',
};
const SPLIT_OF = Object.entries(KEYWORDS).map(
  ([split, words]) => [split, new RegExp(`(^|[-_. /0-9])(${words})([-_. /0-9]|$)`, 'i')] as const,
);

/**
 * @param files paths in the repository
 * @param card its README.md
 * @returns configurations with at least one file that can be read; none where there are none
 */
export function datasetLayout(files: readonly string[], card: string | undefined): DatasetConfig[] {
  const data = dataFiles(files);
  const described = configsOf(card)
    .map((config) => ({ ...config, splits: splitsOf(config.entry, files, data) }))
    .filter(({ splits }) => Object.keys(splits).length > 0)
    .map(({ entry: _, ...config }) => config);
  if (described.length > 0) return described;
  const splits = byNames(mostUsual(data));
  return Object.keys(splits).length === 0 ? [] : [{ name: 'default', isDefault: true, splits }];
}

/** Of the branch `refs/convert/parquet`, which the hub makes: CONFIG/SPLIT/NUMBER.parquet. */
export function convertedLayout(files: readonly string[]): DatasetConfig[] {
  const configs = new Map<string, Record<string, string[]>>();
  for (const file of [...files].sort()) {
    const [config, split, name, more] = file.split('/');
    if (!config || !split || !name?.endsWith('.parquet') || more !== undefined) continue;
    const splits = configs.get(config) ?? {};
    configs.set(config, splits);
    // The hub converts no more than the first gigabytes of a large split, and says so.
    const named = split.replace(/^partial-/, '');
    splits[named] = [...(splits[named] ?? []), file];
  }
  return [...configs].map(([name, splits]) => ({
    name,
    isDefault: name === 'default' || configs.size === 1,
    splits,
  }));
}

/** Files of a repository that a pattern names. */
export function matchingFiles(files: readonly string[], pattern: string): string[] {
  if (files.includes(pattern)) return [pattern];
  const matches = picomatch(pattern);
  return files.filter((file) => matches(file)).sort();
}

interface CardConfig {
  name: string;
  isDefault: boolean;
  entry: Record<string, unknown>;
}

function configsOf(card: string | undefined): CardConfig[] {
  const [, front] = /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---(\r?\n|$)/.exec(card ?? '') ?? [];
  let head: unknown;
  try {
    head = front === undefined ? undefined : parse(front);
  } catch {
    // A card that is no YAML says nothing; the files' names may.
    return [];
  }
  const entries = isRecord(head) && Array.isArray(head.configs) ? head.configs.filter(isRecord) : [];
  return entries.map((entry) => {
    const name = typeof entry.config_name === 'string' ? entry.config_name : 'default';
    return { name, isDefault: entry.default === true || name === 'default' || entries.length === 1, entry };
  });
}

function splitsOf(
  { data_files: named, data_dir: dir }: Record<string, unknown>,
  files: readonly string[],
  data: readonly string[],
): Record<string, string[]> {
  const root = typeof dir === 'string' ? `${dir.replace(/^\.?\/+|\/+$/g, '')}/` : '';
  if (named === undefined) return byNames(mostUsual(data.filter((file) => file.startsWith(root))));
  const found = (patterns: unknown): string[] => {
    const texts = (Array.isArray(patterns) ? patterns : [patterns]).filter((one) => typeof one === 'string');
    return [...new Set(texts.flatMap((one) => matchingFiles(files, root + one.replace(/^\.?\/+/, ''))))].filter(
      (file) => isData(file),
    );
  };
  const parts: [string, string[]][] = [];
  if (Array.isArray(named) && named.every(isRecord)) {
    for (const { split, path } of named) parts.push([typeof split === 'string' ? split : 'train', found(path)]);
  } else if (isRecord(named)) {
    for (const [split, path] of Object.entries(named)) parts.push([split, found(path)]);
  } else {
    parts.push(['train', found(named)]);
  }
  return Object.fromEntries(parts.filter(([, paths]) => paths.length > 0));
}

function byNames(data: readonly string[]): Record<string, string[]> {
  const sorted = [...data].sort();
  const byShards = grouped(sorted, (file) => SHARDS.exec(file)?.[2]);
  if (byShards) return byShards;
  const splitIn = (text: string) => SPLIT_OF.find(([, words]) => words.test(text))?.[0];
  const folder = (file: string) => file.slice(0, file.lastIndexOf('/') + 1);
  const name = (file: string) => file.slice(file.lastIndexOf('/') + 1);
  return (
    grouped(sorted, (file) => splitIn(folder(file))) ??
    grouped(sorted, (file) => splitIn(name(file))) ??
    (sorted.length > 0 ? { train: sorted } : {})
  );
}

/** Undefined where no file belongs to any. */
function grouped(
  files: readonly string[],
  splitOf: (file: string) => string | undefined,
): Record<string, string[]> | undefined {
  const groups: Record<string, string[]> = {};
  for (const file of files) {
    const split = splitOf(file);
    if (split !== undefined) groups[split] = [...(groups[split] ?? []), file];
  }
  return Object.keys(groups).length > 0 ? groups : undefined;
}

const isData = (file: string): boolean =>
  EXTENSIONS.includes(extname(file).toLowerCase()) && !NO_DATA.test(file) && !/(^|\/)[._]/.test(file);

const dataFiles = (files: readonly string[]): string[] => files.filter(isData);

/** A dataset is of one file format: that of most of its files. */
function mostUsual(files: readonly string[]): string[] {
  const count = (extension: string) => files.filter((file) => extname(file).toLowerCase() === extension).length;
  const [usual] = [...EXTENSIONS].sort((a, b) => count(b) - count(a));
  return files.filter((file) => extname(file).toLowerCase() === usual);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
