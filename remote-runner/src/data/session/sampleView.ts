/** A row as the model sees it, by the functions that training uses. */
import type { DatasetFormat, DatasetSample, SampleToken } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import type { DatasetRecipe } from '@protocol/recipe';
import type { ChatText } from '../chat/chatTemplate';
import { type DatasetRows, tokenizeOptions } from '../dataset';
import type { PlainText, RenderedSample } from '../formats/format';
import { type ResolvedFormat, renderSample } from '../formats/resolveFormat';
import type { SourceRow } from '../index/rowSource';
import { rowFilter } from '../rowFilter';
import { IGNORED, type Sample, type TokenizeOptions, tokenAt, tokenizeText } from '../tokenize';
import type { Tokenizer } from '../tokenizer';

/** Tokens of a sample that are sent at most: more cannot be looked at, and what is behind `max_length` is not trained on. */
const MOST_TOKENS = 20_000;
/** Characters that a list's words are taken from. */
const WORDS_OF = 400;

export interface SampleViewOptions {
  recipe: DatasetRecipe;
  columns: readonly string[];
  sampleFormat: ResolvedFormat;
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
  readonly chatNote: string | undefined;
  readonly #format: ResolvedFormat;
  readonly #rows: DatasetRows;
  readonly #keeps: ReturnType<typeof rowFilter>;
  readonly #special = new Map<number, boolean>();

  constructor(private readonly options: SampleViewOptions) {
    const { columns, path, sampleFormat: format } = options;
    this.#format = format;
    this.#keeps = rowFilter(options.recipe.filter);
    this.template = format.source;
    this.targetColumn = format.target;
    this.format = format.name;
    this.possible = format.possible;
    this.chatNote = format.chatNote;
    this.#rows = { path, format: options.fileFormat, rows: [], columns: [...columns], sampleFormat: format };
  }

  /** Whether the recipe's filter lets a row through. */
  uses(values: Record<string, unknown>): boolean {
    return this.#keeps === undefined || this.#keeps(values);
  }

  /** A row as one text. @throws TuneyardError `dataset_invalid` */
  textOf(values: Record<string, unknown>, path: string, line: number): string {
    return wholeText(renderSample(this.#format, values, { file: path, line }).text);
  }

  /** Everything about a row that counts over the whole set. */
  measure(row: SourceRow, path: string): RowMeasures {
    const none = { length: 0, supervised: 0 };
    if (!row.values) return { ...none, problem: row.error?.what ?? 'the row cannot be read.' };
    try {
      const rendered = this.#render(row, path);
      const target = this.#targetOf(rendered);
      const { length, supervised, problem } = this.#tokenize(rendered.text, row, path);
      return {
        length,
        supervised,
        text: wholeText(rendered.text),
        ...(target === undefined ? {} : { target }),
        ...(rendered.label === undefined ? {} : { label: rendered.label }),
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
      const { text } = this.#render(row, path);
      const words = oneLine(
        text.kind === 'chat' ? text.text : text.prompt.slice(0, WORDS_OF) + text.completion.slice(0, WORDS_OF),
      );
      if (!this.options.tokenizer || !count) return { words };
      const { length, problem } = this.#tokenize(text, row, path);
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

  /** A block of packed data. */
  block(sample: Sample, row: number): DatasetSample {
    const length = sample.inputIds.length;
    let supervised = 0;
    for (let t = 1; t < length; t++) if (sample.labels[t] !== IGNORED) supervised++;
    return {
      row,
      source: 0,
      line: sample.line,
      end_line: sample.line,
      parts: [{ role: 'text', text: this.options.tokenizer!.decode(sample.inputIds), from: 0, to: length }],
      tokens: this.#tokens(sample),
      length,
      supervised,
      truncated: false,
    };
  }

  /** Its first words. */
  blockWords(sample: Sample): string {
    return oneLine(this.options.tokenizer!.decode(sample.inputIds.subarray(0, 100)));
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
      const rendered = this.#render(row, path);
      const { text, rejected, label, words } = rendered;
      const more = { ...(label !== undefined && { label }) };
      if (!this.options.tokenizer) return { ...empty, ...more, parts: this.#parts(text, undefined) };
      const { full, length, problem, supervised, truncated } = this.#tokenize(text, row, path);
      const worse = rejected && this.#tokenize(rejected, row, path).full;
      return {
        ...empty,
        ...more,
        parts: this.#parts(text, full),
        tokens: this.#tokens(full),
        length,
        supervised,
        truncated,
        ...(rejected && worse && { rejected: { parts: this.#parts(rejected, worse), tokens: this.#tokens(worse) } }),
        ...(words && { tags: this.#tags(words, text, full) }),
        ...(problem === undefined ? {} : { problem }),
      };
    } catch (error) {
      return unreadable(whatOf(error));
    }
  }

  #render(row: SourceRow, path: string): RenderedSample {
    return renderSample(this.#format, row.values!, { file: path, line: row.line });
  }

  /** What is to be written, where that is a part. */
  #targetOf({ text }: RenderedSample): string | undefined {
    if (text.kind === 'chat') return text.learned.map(({ start, end }) => text.text.slice(start, end)).join('\n');
    return this.targetColumn === undefined ? undefined : text.completion;
  }

  /** Turns of a chat, or the prompt and what is to be written, with their tokens. */
  #parts(text: PlainText | ChatText, full: Sample | undefined): DatasetSample['parts'] {
    const { tokenizer } = this.options;
    const length = full?.inputIds.length ?? 0;
    if (text.kind === 'plain') {
      const { prompt, completion } = text;
      const split = prompt === '' || !tokenizer || !full ? 0 : Math.min(tokenizer.encodeStart(prompt).length, length);
      return [
        ...(prompt === '' ? [] : [{ role: 'prompt', text: prompt, from: 0, to: split }]),
        { role: prompt === '' ? 'text' : 'completion', text: completion, from: split, to: length },
      ];
    }
    const at = (place: number) => (tokenizer && full ? tokenAt(tokenizer, full.inputIds, text.text, place) : 0);
    return text.turns.map(({ role, start, end }) => ({
      role,
      text: text.text.slice(start, end),
      from: at(start),
      to: at(end),
    }));
  }

  #tags(words: { word: string; tag: string }[], text: PlainText | ChatText, full: Sample): DatasetSample['tags'] {
    const whole = wholeText(text);
    let from = 0;
    return words.map(({ word, tag }) => {
      const start = whole.indexOf(word, from);
      from = start + word.length;
      const at = (place: number) => tokenAt(this.options.tokenizer!, full.inputIds, whole, place);
      return { word, tag, from: at(start), to: at(from) };
    });
  }

  #tokenize(text: PlainText | ChatText, row: SourceRow, path: string) {
    const { tokenizer, recipe, maxLength } = this.options;
    const options: TokenizeOptions = {
      ...tokenizeOptions(this.#rows, recipe, { tokenizer: tokenizer!, maxLength: Number.POSITIVE_INFINITY }),
      file: path,
    };
    const place = { file: path, line: row.line };
    const full = tokenizeText(text, place, options);
    // As training cuts it: the end is lost, and nothing else changes.
    let supervised = 0;
    const kept = Math.min(maxLength, full.labels.length);
    for (let t = 1; t < kept; t++) if (full.labels[t] !== IGNORED) supervised++;
    let problem: string | undefined;
    if (supervised === 0) {
      try {
        tokenizeText(text, place, { ...options, maxLength });
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

const wholeText = (text: PlainText | ChatText): string =>
  text.kind === 'chat' ? text.text : text.prompt + text.completion;

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
