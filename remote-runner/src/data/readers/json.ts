/**
 * JSON: an array of objects (or of strings: the column `text`), or an object with one such array, as in
 * {"data": [ … ]}. A file that is really JSON Lines is read as such, whatever its ending says.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { TuneyardError } from '@protocol/errors';
import { JsonScanner } from '../index/jsonScanner';
import { jsonlReader, parseJsonRow } from './jsonl';
import { findJsonProblem, rowValues } from './jsonText';
import { decodeLines, MOST_ROW_BYTES, readError, readText, tooLarge } from './lines';
import type { Reader, ReadOptions, Row } from './reader';

/** A file up to this size is parsed as a whole: its faults are told best so. */
const LARGE_BYTES = 64 << 20;
const PIECE = 1 << 20;

export const jsonReader: Reader = {
  name: 'JSON',
  extensions: ['json'],
  async *read(path, options) {
    if ((await sizeOf(path)) > LARGE_BYTES) {
      yield* readLarge(path, options);
      return;
    }
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
    const lines = elementLines(text);
    for (const [index, element] of found.entries()) {
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

/** The array with the rows. */
function findRows(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const arrays = Object.values(value).filter(
    (member): member is unknown[] =>
      Array.isArray(member) && member.length > 0 && member.every((element) => rowValues(element)),
  );
  const lists = Object.values(value).filter((member) => Array.isArray(member));
  // With two arrays there is no telling which one is meant.
  return arrays.length === 1 && lists.length === 1 ? arrays[0] : undefined;
}

/** The 1-based line on which each element of the array begins. */
function elementLines(text: string): number[] {
  const lines: number[] = [];
  // It follows brackets without calling itself, however deep they go.
  const scanner = new JsonScanner({ offset: 0, line: 1 }, (_start, _end, line) => lines.push(line));
  for (let at = 0; at < text.length; at += PIECE) scanner.push(Buffer.from(text.slice(at, at + PIECE)));
  scanner.finish();
  return lines;
}

/** A file that is too large to be one string: its rows are found by their brackets, and parsed one by one. */
async function* readLarge(path: string, options: ReadOptions): AsyncGenerator<Row> {
  const { signal } = options;
  let found: { start: number; end: number; line: number }[] = [];
  const scanner = new JsonScanner({ offset: 0, line: 1 }, (start, end, line) => found.push({ start, end, line }));
  /** The bytes from `base` on that belong to a row that has not ended. */
  let kept: Buffer = Buffer.alloc(0);
  let base = 0;
  const problem = () => {
    if (!scanner.problem) return;
    const { what, line } = scanner.problem;
    throw new TuneyardError('dataset_invalid', `this is not valid JSON (${what}).`, { place: { file: path, line } });
  };
  try {
    for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      if (base === 0 && kept.length === 0 && isJsonLinesStart(chunk)) {
        yield* jsonlReader.read(path, options);
        return;
      }
      kept = Buffer.concat([kept, chunk]);
      scanner.push(chunk);
      const rows = found;
      found = [];
      for (const { start, end, line } of rows) {
        const text = decodeLines(kept.subarray(start - base, end - base), line, path);
        yield { line, values: parseJsonRow(text, path, line, 'element') };
      }
      problem();
      const done = (scanner.openRow ?? base + kept.length) - base;
      kept = kept.subarray(done);
      base += done;
      if (kept.length > MOST_ROW_BYTES) throw tooLarge(path, scanner.openLine);
    }
    scanner.finish();
    problem();
  } catch (error) {
    throw readError(error, path);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    // Reading it will say why.
    return 0;
  }
}

/** As {@link looksLikeJsonLines}, for a large file's first piece: its first line must end in it. */
function isJsonLinesStart(chunk: Buffer): boolean {
  const text = chunk.toString('utf8').trimStart();
  return text.includes('\n') && looksLikeJsonLines(text);
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
