/**
 * JSON: an array of objects (or of strings: the column `text`), or an object with one such array, as in
 * {"data": [ … ]}. A file that is really JSON Lines is read as such, whatever its ending says.
 */
import { TuneyardError } from '@protocol/errors';
import { visit } from 'jsonc-parser';
import { jsonlReader } from './jsonl';
import { findJsonProblem, rowValues } from './jsonText';
import { readText } from './lines';
import type { Reader } from './reader';

export const jsonReader: Reader = {
  name: 'JSON',
  extensions: ['json'],
  async *read(path, options) {
    const text = await readText(path, options.signal);
    if (text.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      if (looksLikeJsonLines(text)) {
        yield* jsonlReader.read(path, options);
        return;
      }
      const { why, line, column } = findJsonProblem(text);
      throw new TuneyardError('dataset_invalid', `this is not valid JSON (${why}).`, {
        place: { file: path, line, column },
        cause,
      });
    }
    const found = findRows(value);
    if (!found) {
      // A single sample on a line of its own is JSON Lines as well as JSON.
      const only = looksLikeJsonLines(text) ? rowValues(value) : undefined;
      if (only && !Object.values(only).some(Array.isArray)) {
        yield { line: 1, values: only };
        return;
      }
      throw new TuneyardError(
        'dataset_invalid',
        'the file must hold an array of objects, like [{"text": "…"}], or an object with exactly one such array.',
        { place: { file: path, line: 1 } },
      );
    }
    const lines = elementLines(text, found.depth);
    for (const [index, element] of found.rows.entries()) {
      const line = lines[index] ?? 1;
      const values = rowValues(element);
      if (!values) {
        throw new TuneyardError('dataset_invalid', `element ${index + 1} of the array is no object.`, {
          place: { file: path, line },
        });
      }
      yield { line, values };
    }
  },
};

/** The array with the rows, and how many brackets lie around its elements. */
function findRows(value: unknown): { rows: unknown[]; depth: number } | undefined {
  if (Array.isArray(value)) return { rows: value, depth: 1 };
  if (typeof value !== 'object' || value === null) return undefined;
  const arrays = Object.values(value).filter(
    (member): member is unknown[] =>
      Array.isArray(member) && member.length > 0 && member.every((element) => rowValues(element)),
  );
  const lists = Object.values(value).filter((member) => Array.isArray(member));
  // With two arrays there is no telling which one is meant.
  return arrays.length === 1 && lists.length === 1 ? { rows: arrays[0]!, depth: 2 } : undefined;
}

/** The 1-based line on which each element of the array at that depth begins. */
function elementLines(text: string, rowDepth: number): number[] {
  const lines: number[] = [];
  // An array's brackets count, so that elements of nested arrays are not taken for rows.
  const brackets: ('[' | '{')[] = [];
  const element = (startLine: number) => {
    if (brackets.length === rowDepth && brackets.at(-1) === '[') lines.push(startLine + 1);
  };
  const open = (kind: '[' | '{') => (_offset: number, _length: number, startLine: number) => {
    element(startLine);
    brackets.push(kind);
  };
  const close = () => {
    brackets.pop();
  };
  visit(text, {
    onObjectBegin: open('{'),
    onArrayBegin: open('['),
    onObjectEnd: close,
    onArrayEnd: close,
    onLiteralValue: (_value, _offset, _length, startLine) => element(startLine),
  });
  return lines;
}

/** Whether the first line that is not blank is a JSON object by itself. */
function looksLikeJsonLines(text: string): boolean {
  const first = text.trimStart().split('\n', 1)[0]!;
  if (!first.startsWith('{')) return false;
  try {
    JSON.parse(first);
    return true;
  } catch {
    return false;
  }
}
