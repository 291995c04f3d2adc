/** The file formats. A new one is a file beside this and a line in the list. */
import { extname } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { csvReader } from './csv';
import { jsonReader } from './json';
import { jsonlReader } from './jsonl';
import { readError } from './lines';
import { parquetReader } from './parquet';
import type { Reader, ReadOptions, Row } from './reader';
import { textReader } from './text';
import { tsvReader } from './tsv';

export type { ReadOptions, Row } from './reader';

const READERS: readonly Reader[] = [jsonReader, jsonlReader, csvReader, tsvReader, textReader, parquetReader];

/**
 * The reader for a file, by its ending.
 *
 * @throws TuneyardError `dataset_invalid` naming the endings there are
 */
export function readerFor(path: string): Reader {
  const extension = extname(path).slice(1).toLowerCase();
  const reader = READERS.find(({ extensions }) => extensions.includes(extension));
  if (reader) return reader;
  const known = READERS.flatMap(({ extensions }) => extensions.map((ending) => `.${ending}`)).join(', ');
  throw new TuneyardError('dataset_invalid', `the file's ending says nothing of its format; known are ${known}.`, {
    place: { file: path },
  });
}

/**
 * Reads a dataset file row by row.
 *
 * @throws (while reading) TuneyardError `file_not_found`; `dataset_invalid` and `encoding_invalid` with file and line;
 *   `dataset_empty` where there is not one row; `cancelled` when the signal fires
 */
export async function* readRows(path: string, options: ReadOptions = {}): AsyncGenerator<Row> {
  const reader = readerFor(path);
  let rows = 0;
  try {
    for await (const row of reader.read(path, options)) {
      options.signal?.throwIfAborted();
      rows++;
      yield row;
    }
  } catch (error) {
    if (options.signal?.aborted) {
      throw new TuneyardError('cancelled', 'reading the data was cancelled.', { cause: error });
    }
    throw readError(error, path);
  }
  if (rows === 0) {
    throw new TuneyardError('dataset_empty', `the ${reader.name} file has no rows.`, { place: { file: path } });
  }
}
