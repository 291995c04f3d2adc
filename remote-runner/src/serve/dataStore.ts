/** Files that were sent to this machine, kept by what they hold: `~/.tuneyard/data/HASH/NAME`. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import type { DataFile, DataPlan } from '@protocol/serve';
import { asWriteError } from '../hub/diskError';
import { tuneyardHome } from '../runs/runDir';

/** @throws TuneyardError `usage` for names that lead elsewhere; `not_writable`, `disk_full` */
export async function planData(files: readonly DataFile[], home = tuneyardHome()): Promise<DataPlan[]> {
  return Promise.all(
    files.map(async (file) => {
      const { path, partial } = places(file, home);
      const present = (await bytesOf(path)) === file.bytes;
      if (!present) await makeFolders(path, partial);
      // More than the whole is of another attempt gone wrong.
      const have = (await bytesOf(partial)) ?? 0;
      return { path, partial_path: partial, have_bytes: have <= file.bytes ? have : 0, present };
    }),
  );
}

/**
 * Takes a file that was sent whole.
 * @throws TuneyardError `transfer_failed` where it is not what was announced; what was sent is then thrown away
 */
export async function commitData(file: DataFile, home = tuneyardHome()): Promise<{ path: string }> {
  const { path, partial } = places(file, home);
  if ((await bytesOf(path)) === file.bytes) {
    // Somebody else was faster.
    await rm(partial, { force: true });
    return { path };
  }
  // There is nothing to send of an empty one.
  if (file.bytes === 0) await writeFile(partial, '');
  const bytes = await bytesOf(partial);
  if (bytes === undefined) {
    throw new TuneyardError('transfer_failed', `nothing of "${file.name}" has arrived; send it again.`);
  }
  const sha256 = await sha256Of(partial);
  if (bytes !== file.bytes || sha256 !== file.sha256) {
    await rm(partial, { force: true });
    throw new TuneyardError(
      'transfer_failed',
      `"${file.name}" arrived damaged: ${bytes} of ${file.bytes} bytes with the hash ${sha256.slice(0, 12)}… instead of ${file.sha256.slice(0, 12)}…; send it again.`,
    );
  }
  try {
    await rename(partial, path);
  } catch (error) {
    if ((await bytesOf(path)) !== file.bytes) throw asWriteError(error, path);
  }
  return { path };
}

function places({ sha256, name, group }: DataFile, home: string): { path: string; partial: string } {
  const folder = group ?? sha256;
  const clean = posix.normalize(name);
  if (![folder, sha256].every((hash) => /^[0-9a-f]{64}$/.test(hash))) {
    throw new TuneyardError('usage', 'a file is named by its SHA-256 in 64 hexadecimal digits.');
  }
  if (clean !== name || posix.isAbsolute(name) || /^\.{1,2}(\/|$)/.test(name) || /[\\\0]/.test(name) || name === '') {
    throw new TuneyardError('usage', `"${name}" is no name for a sent file; use one without "..".`);
  }
  const data = join(home, 'data');
  // By its place as well: two files of one group may hold the same.
  const place = createHash('sha256').update(`${folder}/${name}`).digest('hex').slice(0, 16);
  return { path: join(data, folder, name), partial: join(data, 'partial', `${sha256}-${place}`) };
}

async function makeFolders(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
      throw asWriteError(error, path);
    });
  }
}

async function bytesOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
