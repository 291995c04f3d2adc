/** What crosses between the threads that make a report. */
import type { FindingKind } from '@protocol/dataset';
import type { DatasetRecipe } from '@protocol/recipe';
import type { SourceSpec } from '../index/rowSource';
import type { ViewSpec } from '../session/viewSpec';

export interface PrepareParams {
  files: SourceSpec[];
  view: ViewSpec;
}

export interface AnalyseParams {
  file: number;
  from: number;
  count: number;
  near: boolean;
}

export interface ReportParams extends PrepareParams {
  seed: number;
  /** Whether a file as a whole is held out. */
  heldOut: boolean[];
  weights?: number;
}

export interface PartsParams {
  files: SourceSpec[];
  recipe: DatasetRecipe;
  seed: number;
  rows: number[];
  heldOut: boolean[];
}

export interface RowParts {
  /** [rows] as `partsOf`. */
  parts: Uint8Array;
  /** [rows] 1: by the recipe's filter. */
  leftOut?: Uint8Array;
}

export interface ChunkFinding {
  row: number;
  line: number;
  detail?: string;
}

export interface ChunkFacts {
  /** Number of the first row in its file. */
  from: number;
  count: number;
  /** [count] USABLE, HAS_MINHASH, LEFT_OUT */
  flags: Uint8Array;
  /** [count] */
  lines: Uint32Array;
  /** [2·count] of the text, before tokenizing */
  hashes: Uint32Array;
  /** [count] tokens before truncation; 0 where a row cannot be used */
  lengths: Uint32Array;
  /** [count] after truncation */
  supervised: Uint32Array;
  /** [count] the script of most letters, as in SCRIPTS; 255: none */
  scripts: Uint8Array;
  /** [SCRIPTS.length] letters */
  letters: Float64Array;
  /** [count·64]; undefined where near-duplicates are not looked for any more */
  minima?: Uint8Array;
  /** At most MOST_FINDINGS a kind. */
  findings: Partial<Record<FindingKind, { count: number; rows: ChunkFinding[] }>>;
  /** Undefined: too many different ones. */
  labels?: [label: string, count: number][];
  columns: string[];
}
