/** Parquet, a row group at a time; a row's `line` is its number, from 1. */
import { stat } from 'node:fs/promises';
import { TuneyardError } from '@protocol/errors';
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { readError } from './lines';
import type { Reader } from './reader';

export const parquetReader: Reader = {
  name: 'Parquet',
  extensions: ['parquet', 'pq'],
  async *read(path, { signal }) {
    try {
      if ((await stat(path)).isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
    } catch (error) {
      throw readError(error, path);
    }
    const file = await asyncBufferFromFile(path);
    const metadata = await openParquet(path, file);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      signal?.throwIfAborted();
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await orInvalid(path, () => parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd }));
      for (const [index, values] of rows.entries()) yield { line: rowStart + index + 1, values };
      rowStart = rowEnd;
    }
  },
};

/** The footer. @throws TuneyardError `dataset_invalid` */
export function openParquet(path: string, file: AsyncBuffer): Promise<FileMetaData> {
  return orInvalid(path, () => parquetMetadataAsync(file));
}

/** @throws TuneyardError `dataset_invalid` for whatever hyparquet throws */
export async function orInvalid<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    // What the network or the disk said is no fault of the file.
    if (cause instanceof TuneyardError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TuneyardError('dataset_invalid', `this is not a readable Parquet file (${why.replace(/\.$/, '')}).`, {
      place: { file },
      cause,
    });
  }
}
