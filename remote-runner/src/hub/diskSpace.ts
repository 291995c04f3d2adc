import { access, constants, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from './diskError';

/** File system blocks, directories and the small files that nobody counts. */
const SLACK_BYTES = 1 << 20;

/**
 * Bytes an ordinary user may still write where `path` lies. The path need not exist yet: its nearest existing
 * ancestor counts.
 */
export async function freeDiskBytes(path: string): Promise<number> {
  const stats = await statfs(await existingPart(path));
  return stats.bavail * stats.bsize;
}

async function existingPart(path: string): Promise<string> {
  for (let dir = resolve(path); ; dir = dirname(dir)) {
    try {
      await access(dir);
      return dir;
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || dirname(dir) === dir) throw asWriteError(error, dir);
    }
  }
}

/**
 * Refuses to begin what cannot end: checks before writing that the place may be written and has the space.
 * @param path where the bytes shall go
 * @param bytes how many
 * @param what names them in the message: "a checkpoint"
 * @throws TuneyardError `disk_full`, with `needed_bytes` and `free_bytes` as data; `not_writable`
 */
export async function requireDiskSpace(path: string, bytes: number, what: string): Promise<void> {
  const dir = await existingPart(path);
  // First, because a read-only disk has no free space either.
  await access(dir, constants.W_OK).catch((error: unknown) => {
    throw asWriteError(error, path);
  });
  const free = await freeDiskBytes(dir);
  const needed = bytes + SLACK_BYTES;
  if (free >= needed) return;
  throw new TuneyardError(
    'disk_full',
    `${what} needs ${formatBytes(needed)} and only ${formatBytes(free)} are free here; free some space or choose another folder.`,
    { place: { file: path }, data: { needed_bytes: needed, free_bytes: free } },
  );
}

/** Decimal units, three digits: `1.23 GB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}
