/** What `compare` answers: prompts down, models across. */

/** How varied a text is. */
export interface TextMetrics {
  words: number;
  /** Different words, upper and lower case being the same. */
  unique_words: number;
  /** Different words ÷ words. 0 for a text without words. */
  distinct_1: number;
  /** Different pairs of neighbouring words ÷ words. */
  distinct_2: number;
}

/** A stretch of text, as offsets of UTF-16 units: start inclusive, end exclusive. */
export interface TextRange {
  start: number;
  end: number;
}

/** One text: what one model wrote behind one prompt. */
export interface CompareCell {
  text: string;
  /** Hash of the weights that made this very text. */
  weights: string;
  seconds: number;
  new_tokens: number;
  finish_reason: string;
  metrics: TextMetrics;
  /** Where the text repeats itself: n-grams of four words that came before in it. */
  repeated: TextRange[];
}

export interface CompareColumn {
  label: string;
  /** Training step of a checkpoint. */
  step?: number;
  weights: string;
  /** On the test split, where one was given. */
  perplexity?: number;
  /** Over all of the model's texts together. */
  metrics: TextMetrics;
  /** Wall time of all its texts. */
  seconds: number;
}

export interface CompareReport {
  prompts: string[];
  seed: number;
  models: CompareColumn[];
  /** `cells[prompt][model]`. */
  cells: CompareCell[][];
  warnings: string[];
}

/** The lines of `compare --json`, in their order; the report comes last. */
export type CompareLine =
  | { type: 'model'; label: string; done: number; total: number }
  /** What was written since the last such line of this prompt and model. */
  | { type: 'text'; prompt: number; model: number; text: string }
  | { type: 'cell'; prompt: number; model: number; cell: CompareCell }
  | ({ type: 'report' } & CompareReport);
