/** JSON with errors a person can act on: what is wrong, and where. */
import { type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';

export interface JsonProblem {
  /** "comma expected" */
  why: string;
  /** 1-based. */
  line: number;
  column: number;
}

/** The first problem of a text that JSON.parse refuses. */
export function findJsonProblem(text: string): JsonProblem {
  const errors: ParseError[] = [];
  try {
    parseTree(text, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
  } catch (error) {
    // It calls itself for every bracket.
    if (!(error instanceof RangeError)) throw error;
    return { why: 'brackets are nested too deeply to say where it breaks', line: 1, column: 1 };
  }
  const first = errors.sort((a, b) => a.offset - b.offset)[0];
  // Control characters in strings and a few odd numbers are refused by JSON.parse alone.
  if (!first) return { why: 'invalid character', line: 1, column: 1 };
  const before = text.slice(0, first.offset);
  const at = { line: before.split('\n').length, column: first.offset - before.lastIndexOf('\n') };
  const why = printParseErrorCode(first.error)
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
  const number = /^-?(NaN|Infinity)\b/.exec(text.slice(first.offset, first.offset + 10))?.[0];
  if (number !== undefined) {
    // Python's json module writes them.
    return { why: `${number} is no JSON; write null`, ...at };
  }
  return { why, ...at };
}

/** A row's columns from a JSON value: an object as it is, a string as the column `text`; else undefined. */
export function rowValues(value: unknown): Record<string, unknown> | undefined {
  if (typeof value === 'string') return { text: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Record<string, unknown>;
}
