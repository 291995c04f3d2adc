/** Bytes that rows are read from: a file, or an editor's unsaved text in its place. */
import { type FileHandle, open } from 'node:fs/promises';
import { TuneyardError } from '@protocol/errors';
import { readError } from '../readers/lines';

export interface ByteSource {
  readonly size: number;
  /** Of the last change; 0 for text that is in no file. */
  readonly mtimeMs: number;
  /** What it holds, where that is in no file. */
  readonly text?: string;
  /** Up to `length` bytes from `offset` on; fewer only at the end. */
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** @throws TuneyardError as `readError` says; `dataset_invalid` for a folder */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const info = await handle.stat();
    if (info.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
    return new FileBytes(path, handle, info.size, info.mtimeMs);
  } catch (error) {
    await handle?.close();
    throw readError(error, path);
  }
}

class FileBytes implements ByteSource {
  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    readonly size: number,
    readonly mtimeMs: number,
  ) {}

  async read(offset: number, length: number): Promise<Buffer> {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    const bytes = Buffer.allocUnsafe(wanted);
    let done = 0;
    try {
      while (done < wanted) {
        const { bytesRead } = await this.handle.read(bytes, done, wanted - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (error) {
      throw readError(error, this.path);
    }
    if (done === wanted) return bytes;
    throw new TuneyardError('dataset_invalid', 'the file has become shorter since it was opened; open it again.', {
      place: { file: this.path },
    });
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** Text that an editor holds. */
export function textBytes(text: string): ByteSource {
  const bytes = Buffer.from(text);
  return {
    size: bytes.length,
    mtimeMs: 0,
    text,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    close: async () => {},
  };
}
