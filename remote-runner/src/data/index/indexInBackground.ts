/** Goes through a file while others are served. */

import { buildIndex } from './buildIndex';
import type { ByteSource } from './byteSource';
import type { RecordFile } from './recordFile';
import type { ScannerKind } from './scanner';

export function indexInBackground(
  source: ByteSource,
  _path: string | undefined,
  work: { kind: ScannerKind; hasHeader: boolean },
  file: RecordFile,
): void {
  buildIndex(source, work, (piece) => file.take(piece)).catch((error: unknown) => file.fail(error));
}
