/** A row as the model sees it, by the functions that training uses. */
import type { DatasetFormat, DatasetSample, SampleToken } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import type { DatasetRecipe } from '@protocol/recipe';
import { type DatasetRows, tokenizeOptions } from '../dataset';
import type { SourceRow } from '../index/rowSource';
import { renderRow, resolveTemplate } from '../templates';
import { IGNORED, type Sample, type TokenizeOptions, tokenizeRow } from '../tokenize';
import type { Tokenizer } from '../tokenizer';

/** Tokens of a sample that are sent at most: more cannot be looked at, and what is behind `max_length` is not trained on. */
const MOST_TOKENS = 20_000;
/** Characters that a list's words are taken from. */
const WORDS_OF = 400;

export interface SampleViewOptions {
  recipe: DatasetRecipe;
  columns: readonly string[];
  tokenizer: Tokenizer | undefined;
  maxLength: number;
  /** Of the first source, for messages. */
  path: string;
  fileFormat: string;
}

/** Characters of a row that are tokenized to be looked at: half a second's work. Training takes all of them, in its own time. */
const MOST_CHARACTERS = 400_000;

/** What is known of a row without its tokens one by one. */
export interface RowFacts {
  /** Before truncation. */
  length?: number;
  words: string;
  problem?: string;
}

export interface RowMeasures {
  /** Before truncation. */
  length: number;
  /** After truncation. */
  supervised: number;
  /** All of it; absent where it cannot be made. */
  text?: string;
  /** What is to be written, where that is a part. */
  target?: string;
  /** Of a class. */
  label?: string;
  problem?: string;
}

export class SampleView {
  readonly format: DatasetFormat;
  readonly possible: DatasetFormat[];
  readonly template: string;
  readonly targetColumn: string | undefined;
  readonly #rows: DatasetRows;
  readonly #special = new Map<number, boolean>();

  /** @throws TuneyardError `template_invalid`, `column_missing` */
  constructor(private readonly options: SampleViewOptions) {
    const { recipe, columns, path } = options;
    const template = resolveTemplate(recipe, columns, { file: path });
    this.template = template.template.source;
    this.targetColumn = template.target;
    this.format = recipe.template !== undefined ? 'template' : template.target === undefined ? 'text' : 'text-target';
    this.possible = [this.format];
    this.#rows = { path, format: options.fileFormat, rows: [], columns: [...columns], template };
  }

  /** A row as one text. @throws TuneyardError `dataset_invalid` */
  textOf(values: Record<string, unknown>, path: string, line: number): string {
    const { prompt, completion } = renderRow(this.#rows.template, values, { file: path, line });
    return prompt + completion;
  }

  /** Everything about a row that counts over the whole set. */
  measure(row: SourceRow, path: string): RowMeasures {
    const none = { length: 0, supervised: 0 };
    if (!row.values) return { ...none, problem: row.error?.what ?? 'the row cannot be read.' };
    try {
      const { prompt, completion } = renderRow(this.#rows.template, row.values, { file: path, line: row.line });
      const target = this.targetColumn === undefined ? undefined : completion;
      const { length, supervised, problem } = this.#tokenize(row, path);
      return {
        length,
        supervised,
        text: prompt + completion,
        ...(target === undefined ? {} : { target }),
        ...(problem === undefined ? {} : { problem }),
      };
    } catch (error) {
      return { ...none, problem: whatOf(error) };
    }
  }

  /** @param count whether to count its tokens, too */
  facts(row: SourceRow, path: string, count: boolean): RowFacts {
    if (!row.values) return { words: oneLine(row.raw), problem: row.error?.what ?? 'the row cannot be read.' };
    try {
      const { prompt, completion } = renderRow(this.#rows.template, row.values, { file: path, line: row.line });
      const words = oneLine(prompt.slice(0, WORDS_OF) + completion.slice(0, WORDS_OF));
      if (!this.options.tokenizer || !count) return { words };
      const { length, problem } = this.#tokenize(row, path);
      return { words, length, ...(problem === undefined ? {} : { problem }) };
    } catch (error) {
      return { words: oneLine(row.raw), problem: whatOf(error) };
    }
  }

  sample(row: SourceRow, path: string, at: { row: number; source: number }): DatasetSample {
    if (row.bytes <= MOST_CHARACTERS || !row.values) return this.#sampleOf(row, path, at);
    const sample = this.#sampleOf({ ...row, values: shortened(row.values) }, path, at);
    const whole = `the row has ${(row.bytes / 1e6).toFixed(1)} MB: only the first ${sample.length} tokens are shown, training is given all.`;
    return { ...sample, truncated: true, problem: sample.problem ?? whole };
  }

  #sampleOf(row: SourceRow, path: string, at: { row: number; source: number }): DatasetSample {
    const empty: DatasetSample = {
      ...at,
      line: row.line,
      end_line: row.endLine,
      parts: [],
      tokens: [],
      length: 0,
      supervised: 0,
      truncated: false,
    };
    const unreadable = (problem: string) => ({
      ...empty,
      parts: row.raw === '' ? [] : [{ role: 'raw', text: row.raw, from: 0, to: 0 }],
      problem,
    });
    if (!row.values) return unreadable(row.error?.what ?? 'the row cannot be read.');
    try {
      const { prompt, completion } = renderRow(this.#rows.template, row.values, { file: path, line: row.line });
      const { tokenizer } = this.options;
      const parts = (split: number, length: number): DatasetSample['parts'] => [
        ...(prompt === '' ? [] : [{ role: 'prompt', text: prompt, from: 0, to: split }]),
        { role: prompt === '' ? 'text' : 'completion', text: completion, from: split, to: length },
      ];
      if (!tokenizer) return { ...empty, parts: parts(0, 0) };
      const { full, length, problem, supervised, truncated } = this.#tokenize(row, path);
      const split = prompt === '' ? 0 : tokenizer.encodeStart(prompt).length;
      return {
        ...empty,
        parts: parts(Math.min(split, length), length),
        tokens: this.#tokens(full),
        length,
        supervised,
        truncated,
        ...(problem === undefined ? {} : { problem }),
      };
    } catch (error) {
      return unreadable(whatOf(error));
    }
  }

  #tokenize(row: SourceRow, path: string) {
    const { tokenizer, recipe, maxLength } = this.options;
    const options: TokenizeOptions = {
      ...tokenizeOptions(this.#rows, recipe, { tokenizer: tokenizer!, maxLength: Number.POSITIVE_INFINITY }),
      file: path,
    };
    const one = { line: row.line, values: row.values! };
    const full = tokenizeRow(one, options);
    // As training cuts it: the end is lost, and nothing else changes.
    let supervised = 0;
    const kept = Math.min(maxLength, full.labels.length);
    for (let t = 1; t < kept; t++) if (full.labels[t] !== IGNORED) supervised++;
    let problem: string | undefined;
    if (supervised === 0) {
      try {
        tokenizeRow(one, { ...options, maxLength });
      } catch (error) {
        problem = whatOf(error);
      }
    }
    return { full, length: full.inputIds.length, supervised, truncated: full.inputIds.length > maxLength, problem };
  }

  #tokens(sample: Sample): SampleToken[] {
    const { tokenizer, maxLength } = this.options;
    return Array.from(sample.inputIds.subarray(0, MOST_TOKENS), (id, t) => ({
      id,
      text: tokenizer!.tokenText(id),
      // The first token is never learned: nothing comes before it.
      supervised: t > 0 && t < maxLength && sample.labels[t] !== IGNORED,
      ...(this.#isSpecial(id) ? { special: true } : {}),
      ...(t >= maxLength ? { cut: true } : {}),
    }));
  }

  #isSpecial(id: number): boolean {
    let known = this.#special.get(id);
    if (known === undefined) {
      const tokenizer = this.options.tokenizer!;
      known = tokenizer.decode([id], { skipSpecialTokens: true }) === '' && tokenizer.decode([id]) !== '';
      this.#special.set(id, known);
    }
    return known;
  }
}

/** Long texts up to where they are looked at. */
function shortened(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([column, value]) => [
      column,
      typeof value === 'string' ? value.slice(0, MOST_CHARACTERS) : value,
    ]),
  );
}

function whatOf(error: unknown): string {
  if (error instanceof TuneyardError) return error.what;
  return `the row cannot be used (${error instanceof Error ? error.message : String(error)}).`;
}

/** The first words of a text, without breaks and marks that no list shows. */
function oneLine(text: string): string {
  return text
    .slice(0, WORDS_OF)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 160)
    .replace(/\p{Surrogate}/gu, '\ufffd');
}
