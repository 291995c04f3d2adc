/** Indexes of files that were gone through once, under the runner's home: a file that did not change opens with all its rows. */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../hub/durableFile';
import { tuneyardHome } from '../../runs/runDir';
import type { IndexPiece } from './buildIndex';

/** Raised when the files' layout changes. */
const VERSION = 1;
const MOST_FILES = 64;
/** A file that is gone through in no time is not worth one of its own. */
const WORTH_BYTES = 4 << 20;

/** Layout: the length of a JSON header in 4 bytes, the header padded to 8, the marks. */
interface Header {
  version: number;
  rows: number;
  bytes: number;
  problem?: { what: string; line: number };
  endless: number[];
}

export async function loadIndex(key: string): Promise<IndexPiece | undefined> {
  const path = join(folder(), key);
  try {
    const file = await readFile(path);
    const length = file.readUInt32LE(0);
    const header = JSON.parse(file.toString('utf8', 4, 4 + length)) as Header;
    const start = marksAt(length);
    if (header.version !== VERSION || (file.length - start) % 24 !== 0) return undefined;
    const marks = new Float64Array((file.length - start) / 8);
    new Uint8Array(marks.buffer).set(file.subarray(start));
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    const { rows, bytes, problem, endless } = header;
    return { rows, bytes, marks, done: true, endless, ...(problem && { problem }) };
  } catch {
    return undefined;
  }
}

/** A home that cannot be written is no reason not to look at data. */
export async function saveIndex(key: string, piece: IndexPiece): Promise<void> {
  const { rows, bytes, problem, endless, marks } = piece;
  if (bytes < WORTH_BYTES) return;
  const header = Buffer.from(JSON.stringify({ version: VERSION, rows, bytes, problem, endless } satisfies Header));
  const front = Buffer.alloc(marksAt(header.length));
  front.writeUInt32LE(header.length);
  header.copy(front, 4);
  await mkdir(folder(), { recursive: true });
  await replaceFile(join(folder(), key), [front, marks]);
  await forgetOldest(folder(), MOST_FILES);
}

function folder(): string {
  return join(tuneyardHome(), 'cache', 'indexes');
}

function marksAt(headerLength: number): number {
  return Math.ceil((4 + headerLength) / 8) * 8;
}

/** Keeps the files of a folder that were used last. */
export async function forgetOldest(dir: string, most: number): Promise<void> {
  const names = await readdir(dir);
  if (names.length <= most) return;
  const used = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(dir, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  used.sort((a, b) => b.at - a.at);
  await Promise.all(used.slice(most).map(({ name }) => rm(join(dir, name), { force: true })));
}
