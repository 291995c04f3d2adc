/** JSON Lines: a JSON object (or a string: the column `text`) a line; blank lines are skipped. */
import { TuneyardError } from '@protocol/errors';
import { findJsonProblem, rowValues } from './jsonText';
import { MOST_ROW_BYTES, readLines } from './lines';
import type { Reader } from './reader';

export const jsonlReader: Reader = {
  name: 'JSON Lines',
  extensions: ['jsonl', 'ndjson'],
  async *read(path, { signal }) {
    for await (const { line, text } of readLines(path, signal, MOST_ROW_BYTES)) {
      if (text.trim() !== '') yield { line, values: parseJsonRow(text, path, line) };
    }
  },
};

/**
 * A row's columns from its JSON.
 *
 * @param of what the text is, for messages
 * @throws TuneyardError `dataset_invalid` with the place of what is broken
 */
export function parseJsonRow(
  text: string,
  file: string,
  line: number,
  of: 'line' | 'element' = 'line',
): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // What is missing at the end is missing on the last line, not on the one behind it.
    const problem = findJsonProblem(text.trimEnd());
    throw new TuneyardError('dataset_invalid', `this ${of} is not valid JSON (${problem.why}).`, {
      place: { file, line: line + problem.line - 1, column: problem.column },
      cause,
    });
  }
  const values = rowValues(value);
  if (values) return values;
  throw new TuneyardError('dataset_invalid', `this ${of} holds no JSON object; write one like {"text": "…"}.`, {
    place: { file, line },
  });
}
