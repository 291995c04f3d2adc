/** What a row of a dataset is. Every format is a file in this folder that exports one {@link FormatDef}. */
import type { DatasetFormat } from '@protocol/dataset';
import { type ErrorPlace, TuneyardError } from '@protocol/errors';
import type { ChatTemplate, ChatText } from '../chat/chatTemplate';

export type Values = Readonly<Record<string, unknown>>;

export interface PlainText {
  kind: 'plain';
  /** What the model is given. It never ends in white space: that goes to the completion. */
  prompt: string;
  /** What the model learns to write. */
  completion: string;
}

/** A row as text. */
export interface RenderedSample {
  text: PlainText | ChatText;
  /** Of a preference: what was found worse. */
  rejected?: PlainText | ChatText;
  /** Of a class. */
  label?: string;
  words?: { word: string; tag: string }[];
}

export interface RenderContext {
  place: ErrorPlace;
  /** How chats are written. */
  chat: ChatTemplate;
}

export interface FormatDef {
  readonly name: DatasetFormat;
  /** What its columns are, for a sentence. */
  readonly wants: string;
  /** Whether columns and the first rows are such. */
  fits(columns: readonly string[], rows: readonly Values[]): boolean;
  /** @throws TuneyardError `dataset_invalid` for a row that is not of this format */
  render(values: Values, context: RenderContext): RenderedSample;
  /** Column that is learned. */
  readonly target?: string;
  /** It needs a method that is not `full`: which. */
  readonly method?: string;
}

/** White space that joins the two goes with the completion: a prompt that ended in a space would have other tokens alone. */
export function joined(prompt: string, completion: string): PlainText {
  const kept = prompt.trimEnd();
  return { kind: 'plain', prompt: kept, completion: prompt.slice(kept.length) + completion };
}

export function rowError(what: string, place: ErrorPlace): TuneyardError {
  return new TuneyardError('dataset_invalid', what, { place });
}

/** A column's text. @param optional what it is where there is none */
export function textOf(values: Values, column: string, place: ErrorPlace, optional?: string): string {
  const value = Object.hasOwn(values, column) ? values[column] : undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if ((value === undefined || value === null) && optional !== undefined) return optional;
  if (value === undefined || value === null)
    throw rowError(`the row has no value for the column "${column}"; fill it in or take the row out.`, place);
  throw rowError(
    `the column "${column}" holds ${Array.isArray(value) ? 'a list' : 'an object'} here, and text is wanted.`,
    place,
  );
}

export const has = (columns: readonly string[], ...names: readonly string[]): boolean =>
  names.every((name) => columns.includes(name));

/** The first value of a column that is there. */
export const firstOf = (rows: readonly Values[], column: string): unknown =>
  rows.map((row) => row[column]).find((value) => value !== undefined && value !== null);
