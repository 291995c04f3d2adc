/** Files that survive a power cut, and are never seen in part. */
import { randomBytes } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileError } from '../hosts/fileError';

/** Replaces a file whole. */
export async function replaceFile(path: string, text: string, mode = 0o600): Promise<void> {
  await viaTemporary(path, text, mode, (temporary) => rename(temporary, path));
}

/** False where there is a file of that name. */
export async function createWhole(path: string, text: string, mode = 0o600): Promise<boolean> {
  try {
    await viaTemporary(path, text, mode, (temporary) => link(temporary, path));
    return true;
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code === 'EEXIST') return false;
    throw error;
  }
}

async function viaTemporary(
  path: string,
  text: string,
  mode: number,
  finish: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await finish(temporary);
    await syncFolder(dirname(path));
  } catch (error) {
    throw fileError(error, path);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** Makes renames and removals in it last. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder, and needs no sync for a rename to last.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
