/**
 * One file from the hub to the disk. It grows under `NAME.partial-HOST-PID`, is checked and synced, and only then gets
 * its name. A killed process's partial file is taken over by a rename, which only one of two takers can win.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import { TuneyardError } from '@protocol/errors';
import { asWriteError } from './diskError';
import { syncDirectory } from './durableFile';
import { type HubClient, TransientHubError } from './hubClient';
import { isProcessAlive } from './processAlive';

export interface FetchFileOptions {
  client: HubClient;
  repo: string;
  commit: string;
  /** From the hub's listing; `path` stays in the folder. */
  entry: ListFileEntry;
  /** Exists. */
  dir: string;
  signal?: AbortSignal | undefined;
  /** Bytes of this file that are on the disk. */
  onBytes: (bytes: number) => void;
}

/** Downloads under way in this process, by path: a second one of the same file waits, then finds it there. */
const underWay = new Map<string, Promise<void>>();

/**
 * Fetches a file unless it is there already.
 * @throws TuneyardError `hub_failed` (also for a wrong checksum), `disk_full`, `not_writable`, `cancelled`
 */
export async function fetchFile(options: FetchFileOptions): Promise<void> {
  const path = join(options.dir, options.entry.path);
  const before = underWay.get(path) ?? Promise.resolve();
  const turn = before.catch(() => undefined).then(() => fetchUnlessThere(options));
  underWay.set(path, turn);
  try {
    await turn;
  } finally {
    if (underWay.get(path) === turn) underWay.delete(path);
  }
}

async function fetchUnlessThere(options: FetchFileOptions): Promise<void> {
  const { entry, dir } = options;
  const path = join(dir, entry.path);
  const present = await stat(path).catch(() => undefined);
  // A file gets its name only after its checksum was right.
  if (present?.size === entry.size) {
    options.onBytes(entry.size);
    return;
  }
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw asWriteError(error, path);
  });
  const partial = await claimPartial(path);
  try {
    await download(partial, options);
    await rename(partial, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw asWriteError(error, path);
  }
}

async function download(partial: string, options: FetchFileOptions): Promise<void> {
  const { client, repo, commit, entry } = options;
  const file = await open(partial, 'a+');
  try {
    if ((await file.stat()).size > entry.size) await file.truncate(0);
    await client.retry(repo, commit, (progress) => continueFile(file, options, progress));
    if (!(await checksumMatches(partial, entry))) {
      await file.truncate(0);
      throw new TuneyardError(
        'hub_failed',
        `${entry.path} of ${repo} does not have the checksum that ${client.endpoint} gave for it, and has been thrown away: start again, and suspect a proxy or mirror if it comes again.`,
        { data: { repo, file: entry.path } },
      );
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Fetches what the file lacks. A connection that drops leaves what came. */
async function continueFile(file: FileHandle, options: FetchFileOptions, progress: () => void): Promise<void> {
  const { client, repo, commit, entry, onBytes } = options;
  let size = (await file.stat()).size;
  onBytes(size);
  if (size === entry.size) return;
  const { body, offset } = await client.openFile(repo, commit, entry.path, size);
  // A server without ranges begins anew.
  if (offset < size) await file.truncate(offset);
  size = offset;
  for await (const chunk of body) {
    if (size + chunk.byteLength > entry.size) {
      await file.truncate(0);
      throw new TransientHubError(`${entry.path} came longer than the ${entry.size} bytes it should have`);
    }
    await file.appendFile(chunk).catch((error: unknown) => {
      // Kept apart from what the network throws: trying again does not help.
      throw asWriteError(error, join(options.dir, entry.path));
    });
    size += chunk.byteLength;
    progress();
    onBytes(size);
  }
  if (size < entry.size) throw new TransientHubError(`${entry.path} ended after ${size} of ${entry.size} bytes`);
}

/** By the LFS object's SHA-256, else by git's own hash of the file. A hub that gives neither has the size checked. */
async function checksumMatches(file: string, entry: ListFileEntry): Promise<boolean> {
  let hash: Hash;
  let expected: string;
  if (entry.lfs) {
    hash = createHash('sha256');
    expected = entry.lfs.oid.replace(/^sha256:/, '');
  } else if (entry.oid && /^[0-9a-f]{40}$/.test(entry.oid)) {
    hash = createHash('sha1').update(`blob ${entry.size}\0`);
    expected = entry.oid;
  } else {
    return true;
  }
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex') === expected;
}

/** The partial file to go on with: this process's own, or one whose process is gone, or a new one. */
async function claimPartial(path: string): Promise<string> {
  const host = hostname().replace(/[^\w.]/g, '_');
  const own = `${path}.partial-${host}-${process.pid}`;
  const prefix = `${basename(path)}.partial-${host}-`;
  const dir = join(path, '..');
  for (const name of await readdir(dir)) {
    if (!name.startsWith(prefix)) continue;
    const pid = Number(name.slice(prefix.length));
    if (pid === process.pid || isProcessAlive(pid)) continue;
    // The larger head start wins.
    const left = await stat(join(dir, name)).catch(() => undefined);
    const mine = await stat(own).catch(() => undefined);
    if (left && left.size > (mine?.size ?? 0)) await rename(join(dir, name), own).catch(() => undefined);
    else await rm(join(dir, name), { force: true });
  }
  return own;
}
