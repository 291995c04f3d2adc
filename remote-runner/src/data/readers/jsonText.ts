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
  parseTree(text, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
  const first = errors.sort((a, b) => a.offset - b.offset)[0];
  // Control characters in strings and a few odd numbers are refused by JSON.parse alone.
  if (!first) return { why: 'invalid character', line: 1, column: 1 };
  const before = text.slice(0, first.offset);
  const why = printParseErrorCode(first.error)
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
  return { why, line: before.split('\n').length, column: first.offset - before.lastIndexOf('\n') };
}

/** A row's columns from a JSON value: an object as it is, a string as the column `text`; else undefined. */
export function rowValues(value: unknown): Record<string, unknown> | undefined {
  if (typeof value === 'string') return { text: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Record<string, unknown>;
}
