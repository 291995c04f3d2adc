/** JSON Lines: a JSON object (or a string: the column `text`) a line; blank lines are skipped. */
import { TuneyardError } from '@protocol/errors';
import { findJsonProblem, rowValues } from './jsonText';
import { readLines } from './lines';
import type { Reader, Row } from './reader';

export const jsonlReader: Reader = {
  name: 'JSON Lines',
  extensions: ['jsonl', 'ndjson'],
  async *read(path, { signal }) {
    for await (const { line, text } of readLines(path, signal)) {
      if (text.trim() !== '') yield parseLine(text, path, line);
    }
  },
};

function parseLine(text: string, file: string, line: number): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const { why, column } = findJsonProblem(text);
    throw new TuneyardError('dataset_invalid', `this line is not valid JSON (${why}).`, {
      place: { file, line, column },
      cause,
    });
  }
  const values = rowValues(value);
  if (values) return { line, values };
  throw new TuneyardError('dataset_invalid', 'this line holds no JSON object; write one like {"text": "…"}.', {
    place: { file, line },
  });
}
