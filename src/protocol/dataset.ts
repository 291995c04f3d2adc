/**
 * A dataset as it is looked at: the runner opens it on the machine on which it lies (`tuneyard dataset --stdio`, JSON-RPC, a
 * process a session), with the code that training uses. What is shown is what is trained on. Rows are numbered from 0 in the file's order
 * (several sources: one after the other); lines are 1-based, as editors count.
 *
 * `tuneyard dataset --stdio` begins as `serve --stdio` does: chatter, then a line of `SERVE_MARKER`, a space and a
 * `ServeHello` in JSON, then JSON-RPC. It ends when its standard input does. `dataset/open` may be asked again at any time with
 * other settings (another template, tokenizer, `max_length`, unsaved text): files that did not change are not indexed
 * again, and a report that is under way is cancelled.
 */
import type { DatasetFormat } from './datasetFormats';
import type { DatasetRecipe } from './recipe';

export type { DatasetFormat } from './datasetFormats';

export interface OpenDataset {
  /** As in a recipe; paths absolute on the machine. */
  dataset: DatasetRecipe;
  /** Folder or hub name of the model whose tokenizer is used; absent: rows are shown without tokens. */
  model?: string;
  max_length: number;
  seed: number;
  /** Samples in a batch, for what padding they get; default 8. */
  batch_size?: number;
  /** In place of what a file holds: an editor's unsaved text. Absent again: the file. */
  unsaved?: { path: string; text: string };
}

/** Of a dataset on the hub: what there is to choose from, and what was chosen. An error about the choice has it as `data.hub`. */
export interface HubChoice {
  configs: string[];
  splits: string[];
  config?: string;
  split?: string;
}

export interface OpenedDataset {
  /** Of each source. */
  sources: { path: string; bytes: number; file_format: string; weight?: number }[];
  hub?: HubChoice;
  columns: string[];
  format: DatasetFormat;
  /** Other formats that the columns allow. */
  possible: DatasetFormat[];
  template: string;
  target_column?: string;
  /** What the tokenizer's `chat_template` is used for, or why it is not. */
  chat_template?: string;
  tokenizer?: { path: string; vocab_size: number; has_chat_template: boolean };
  /** The model's weights, for advice on how much data there is. */
  model_weights?: number;
  /** What is listed are the blocks that rows are packed into. */
  packed?: true;
  /** Known once the file is indexed; `dataset/indexed` tells. */
  rows?: number;
  warnings: string[];
}

/** A row in the list. */
export interface RowHead {
  row: number;
  source: number;
  line: number;
  /** Its first words, in one line. */
  words: string;
  /** In tokens, before truncation, where it is known. */
  length?: number;
  /** Why it cannot be used, or what is odd about it. */
  problem?: string;
  /** By the recipe's filter: it is not used. */
  left_out?: boolean;
  /** Which part of the data it is in. */
  split?: 'train' | 'eval';
}

export interface SampleToken {
  id: number;
  /** With its spaces; what a part of a character shows is `�`. */
  text: string;
  /** Whether the model learns to write it. */
  supervised: boolean;
  special?: boolean;
  /** Behind `max_length`: training never sees it. */
  cut?: boolean;
}

/** A row as the model sees it. */
export interface DatasetSample {
  row: number;
  source: number;
  line: number;
  /** Last line of the row in its file. */
  end_line: number;
  /** The turns of a chat, or the prompt and what is to be written. Indices into `tokens`. */
  parts: { role: string; text: string; from: number; to: number }[];
  tokens: SampleToken[];
  /** In all, before truncation; only the first `tokens.length` are here. */
  length: number;
  supervised: number;
  truncated: boolean;
  /** Tokens of padding with the samples of its batch. */
  padding?: number;
  /** `preference`: the text that was found worse. */
  rejected?: { parts: DatasetSample['parts']; tokens: SampleToken[] };
  /** `classification`: the label. `token-classification`: a tag a word. */
  label?: string;
  tags?: { word: string; tag: string; from: number; to: number }[];
  problem?: string;
}

export const FINDING_KINDS = [
  'unusable',
  'truncated',
  'duplicate',
  'near_duplicate',
  'empty_target',
  'one_word_target',
  'leakage',
  'secret',
  'email',
  'encoding',
  'language',
  'unbalanced',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  kind: FindingKind;
  count: number;
  /** One sentence with the figure. */
  text: string;
  /** The first of them (at most 1,000). `with`: the row that it resembles. */
  rows: { row: number; line: number; detail?: string; with?: number }[];
}

/** The whole set. */
export interface DatasetReport {
  rows: number;
  usable: number;
  train: number;
  eval: number;
  /** After truncation. */
  tokens: number;
  supervised: number;
  truncated: number;
  lengths: { min: number; median: number; mean: number; p95: number; max: number };
  histogram: { from: number; to: number; count: number }[];
  labels?: { label: string; count: number }[];
  languages: { script: string; share: number }[];
  findings: Finding[];
  /** Plain words: is there enough data for this model, what to do. */
  advice: string[];
  /** Whether it comes from the cache. */
  cached: boolean;
}

/**
 * What to do to the data; the answer is new files, or the edits that an editor makes. Rows are dropped from all sources; what is
 * split or converted is the first one.
 */
export type DatasetFix =
  | { kind: 'drop'; rows: number[] }
  | { kind: 'deduplicate'; near: boolean }
  | { kind: 'split'; test_size: number; seed: number }
  | { kind: 'convert'; format: DatasetFormat; file_format: 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' };

/** Text that an editor deletes: from (inclusive) to (exclusive), in 1-based lines and 0-based characters. */
export interface DatasetEdit {
  source: number;
  from: { line: number; character: number };
  to: { line: number; character: number };
}

export type DatasetContract = {
  requests: {
    /** Answers within a second, however large the file: it is indexed in the background. */
    'dataset/open': { params: OpenDataset; result: OpenedDataset };
    'dataset/rows': { params: { from: number; count: number }; result: RowHead[] };
    /** By row, or the row that holds a line of a source. */
    'dataset/sample': {
      params: { row: number } | { line: number; source: number };
      result: DatasetSample | null;
    };
    /** Reads everything in a worker; progress as `dataset/progress`; can be cancelled. */
    'dataset/report': { params: Record<string, never>; result: DatasetReport };
    /**
     * Writes new files beside the old ones (never over them). `to`: in place of the first one; those of other sources that lose
     * rows get like names beside them. `rows`: in the new files.
     */
    'dataset/fix': { params: { fix: DatasetFix; to: string }; result: { paths: string[]; rows: number } };
    /** Edits that turn the files' texts into the fixed ones, of each file the last ones first. Text formats only. */
    'dataset/edits': { params: { fix: DatasetFix }; result: DatasetEdit[] };
  };
  notifications: Record<never, never>;
};

export type DatasetClientContract = {
  requests: Record<never, never>;
  notifications: {
    /** `problem`: why rows behind these cannot be told apart, as in JSON that breaks off. */
    'dataset/indexed': { rows: number; bytes: number; total_bytes: number; done: boolean; problem?: string };
    'dataset/progress': { done: number; total: number };
  };
};
