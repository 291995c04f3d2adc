/** Goes through a file while others are served. */
import { DataThread } from '../workers/dataThread';
import { buildIndex } from './buildIndex';
import type { ByteSource } from './byteSource';
import type { RecordFile } from './recordFile';
import type { ScannerKind } from './scanner';

/** What takes less time than a thread takes to start. */
const SMALL_BYTES = 8 << 20;

/** @param isFile whether the source is the file itself, that a thread can open for itself */
export async function indexInBackground(
  source: ByteSource,
  isFile: boolean,
  work: { kind: ScannerKind; hasHeader: boolean },
  file: RecordFile,
): Promise<void> {
  const { closing: signal } = file;
  try {
    if (!isFile || source.size <= SMALL_BYTES) {
      await buildIndex(source, work, (piece) => file.take(piece), signal);
      return;
    }
    const thread = new DataThread();
    try {
      const { path } = file;
      await thread.run('index', { path, ...work }, { onPiece: (piece) => file.take(piece), signal });
    } finally {
      await thread.close();
    }
  } catch (error) {
    file.fail(error);
  }
}
