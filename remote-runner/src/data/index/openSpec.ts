/** A file that is open in one thread, for another to open without looking for its rows again. */

import { openFile, textBytes } from './byteSource';
import { ParquetFile } from './parquetFile';
import { RecordFile } from './recordFile';
import type { RowSource, SourceSpec } from './rowSource';

/** @throws TuneyardError as `openFile` */
export async function openSpec(spec: SourceSpec): Promise<RowSource> {
  if (spec.kind === 'parquet') return ParquetFile.open(spec.path, spec.key, await openFile(spec.path));
  const source = spec.text === undefined ? await openFile(spec.options.path) : textBytes(spec.text);
  const file = new RecordFile(source, spec.options);
  file.take(spec.index);
  return file;
}
