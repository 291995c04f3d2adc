/** What `preview` answers: a dataset as training would see it. */

interface PreviewToken {
  id: number;
  /** With its spaces; "�" where the token is a part of a character. */
  text: string;
  /** Whether the model learns to write it. */
  supervised: boolean;
}

export interface PreviewSample {
  line: number;
  truncated: boolean;
  text: string;
  tokens: PreviewToken[];
  /** The same text in pieces: neighbouring tokens that are all learned, or all not, decoded together. */
  parts: { text: string; supervised: boolean }[];
}

export interface DatasetPreview {
  path: string;
  format: string;
  rows: number;
  columns: string[];
  template: string;
  /** The column the model learns to write; absent: it learns the whole text. */
  targetColumn?: string;
  /** Samples for training and held out, with unusable rows left out. */
  train: number;
  eval: number;
  stats: DatasetStats;
  /** Rows training refuses, with the reason; the first hundred. */
  unusable: { count: number; rows: { line: number; reason: string }[] };
  /** The first samples, token by token. */
  samples: PreviewSample[];
}

export interface LengthBin {
  /** Lengths from … to, both included, in tokens. */
  from: number;
  to: number;
  count: number;
}

export interface DatasetStats {
  samples: number;
  /** Tokens in all samples, after truncation. */
  tokens: number;
  /** Tokens that are learned, and their share of all. */
  supervised: number;
  supervisedShare: number;
  truncated: number;
  truncatedShare: number;
  /** Tokens a sample; all 0 without samples. */
  lengths: { min: number; median: number; mean: number; p95: number; max: number };
  histogram: LengthBin[];
  /** Samples whose tokens equal an earlier one's. */
  duplicates: { count: number; examples: { line: number; sameAs: number }[] };
}
