/** A file that is open in one thread, for another to open without looking for its rows again. */

import type { IndexPiece } from './buildIndex';
import { openFile, textBytes } from './byteSource';
import { ParquetFile } from './parquetFile';
import { RecordFile, type RecordFileOptions } from './recordFile';
import type { RowSource } from './rowSource';

export type SourceSpec =
  | { kind: 'parquet'; path: string; key: string }
  | { kind: 'records'; options: RecordFileOptions; index: IndexPiece; text?: string };

/** @throws TuneyardError as `openFile` */
export async function openSpec(spec: SourceSpec): Promise<RowSource> {
  if (spec.kind === 'parquet') return ParquetFile.open(spec.path, spec.key, await openFile(spec.path));
  const source = spec.text === undefined ? await openFile(spec.options.path) : textBytes(spec.text);
  const file = new RecordFile(source, spec.options);
  file.take(spec.index);
  return file;
}
