/**
 * Files that survive a power cut: bytes are synced before a name points to them, and the name is synced before anybody
 * is told. Every function here reports what the disk refuses through {@link asWriteError}.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { throwIfCancelled } from './cancel';
import { asWriteError, systemErrorCode } from './diskError';

/** What a file holds, for a manifest: `sha256` as 64 hex digits. */
export interface FileDigest {
  bytes: number;
  sha256: string;
}

/** One write call's share: large enough for full disk speed, small enough to stop soon when asked to. */
const PIECE_BYTES = 8 << 20;

/** Two replacements of one file at once in this process must not share a temporary name. */
let replacements = 0;

/**
 * Writes a new file and syncs it. Hashing one piece overlaps with writing it, so the digest costs no extra time
 * and no second read.
 * @param path must not exist yet; on any failure it is removed again
 * @param parts the bytes in order; the caller leaves them alone until the promise settles
 * @param name what a person calls it, where `path` is only temporary
 * @throws TuneyardError `disk_full`, `not_writable`, `file_not_found` (no such folder), `cancelled`
 */
export async function writeSynced(
  path: string,
  parts: Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>,
  signal?: AbortSignal,
  name = path,
): Promise<FileDigest> {
  let created = false;
  try {
    const file = await open(path, 'wx');
    created = true;
    try {
      const digest = await writeParts(file, parts, name, signal);
      await file.sync();
      return digest;
    } finally {
      await file.close();
    }
  } catch (error) {
    // Not ours to remove when it was there before us.
    if (created) await rm(path, { force: true });
    throw asWriteError(error, name);
  }
}

async function writeParts(
  file: FileHandle,
  parts: Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>,
  name: string,
  signal: AbortSignal | undefined,
): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const part of parts) {
    const whole = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
    for (let start = 0; start < whole.byteLength; start += PIECE_BYTES) {
      throwIfCancelled(signal, `Writing ${name}`);
      const piece = whole.subarray(start, start + PIECE_BYTES);
      const written = writeFully(file, piece);
      hash.update(piece);
      await written;
    }
    bytes += whole.byteLength;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** A full disk may first write less than it was given and only then fail. */
async function writeFully(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.byteLength; ) {
    const { bytesWritten } = await file.write(piece, done, piece.byteLength - done);
    done += bytesWritten;
  }
}

/**
 * Replaces a file as a whole: whoever looks sees the old one or the new one, also after a power cut.
 * @throws as {@link writeSynced}
 */
export async function replaceFile(
  path: string,
  parts: Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>,
  signal?: AbortSignal,
): Promise<FileDigest> {
  const temporary = `${path}.tmp-${process.pid}-${replacements++}`;
  try {
    // A process of the same id may have died here before.
    await rm(temporary, { force: true });
    const digest = await writeSynced(temporary, parts, signal, path);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
    return digest;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw asWriteError(error, path);
  }
}

/**
 * Creates a file with its content at once: nobody ever reads a part of it.
 * @returns false where there is a file of that name
 * @throws as {@link writeSynced}
 */
export async function createWhole(path: string, text: string): Promise<boolean> {
  const temporary = `${path}.${process.pid}-${process.hrtime.bigint()}`;
  try {
    await writeSynced(temporary, [new TextEncoder().encode(text)]);
    await link(temporary, path);
    return true;
  } catch (error) {
    // ENOENT: somebody cleaned up.
    if (['EEXIST', 'ENOENT'].includes(systemErrorCode(error) ?? '')) return false;
    throw asWriteError(error, path);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** Makes renames, creations and removals inside a directory last. */
export async function syncDirectory(dir: string): Promise<void> {
  // Windows cannot open a directory, and needs no sync for a rename to last.
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
