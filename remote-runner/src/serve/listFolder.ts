import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { FolderEntry } from '@protocol/serve';
import { systemErrorCode } from '../hub/diskError';

/** More than that nobody reads. */
const MOST_ENTRIES = 2_000;

/**
 * What is in a folder, by name, hidden entries left out.
 * @param path absolute, or beginning with `~`
 * @throws TuneyardError `file_not_found`, also for what is no folder or may not be read
 */
export async function listFolder(path: string): Promise<{ path: string; entries: FolderEntry[] }> {
  const folder = resolve(path.replace(/^~(?=$|\/)/, homedir()));
  const names = await readdir(folder).catch((error: unknown) => {
    const code = systemErrorCode(error);
    const what =
      code === 'EACCES' || code === 'EPERM'
        ? 'this folder may not be read.'
        : 'there is no such folder; check the path.';
    throw new TuneyardError('file_not_found', what, { place: { file: folder }, cause: error });
  });
  const shown = names.filter((name) => !name.startsWith('.')).sort((a, b) => a.localeCompare(b));
  const entries = await Promise.all(
    shown.slice(0, MOST_ENTRIES).map(async (name): Promise<FolderEntry[]> => {
      const found = await stat(join(folder, name)).catch(() => undefined);
      if (!found) return [];
      const kind = found.isDirectory() ? 'directory' : found.isFile() ? 'file' : 'other';
      return [{ name, kind, bytes: found.size }];
    }),
  );
  return { path: folder, entries: entries.flat() };
}
