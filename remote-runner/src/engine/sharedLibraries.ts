/** Which shared libraries a Linux binary needs, and where the dynamic loader would find them. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';

export interface NeededLibraries {
  /** File names: `libcublas.so.12`. */
  names: string[];
  /** Folders that the binary itself names, absolute. */
  runPath: string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

/**
 * Reads the dynamic section of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5).
 * @throws TuneyardError `engine_failed` where the file is no such binary
 */
export function neededLibraries(file: string): NeededLibraries {
  const fd = openSync(file, 'r');
  try {
    const header = readAt(fd, 0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) {
      throw new TuneyardError('engine_failed', 'this is not a 64-bit Linux library; install onnxruntime-node anew.', {
        place: { file },
      });
    }
    const entrySize = header.readUInt16LE(54);
    const table = readAt(fd, Number(header.readBigUInt64LE(32)), entrySize * header.readUInt16LE(56));
    const segments = pieces(table, entrySize).map((entry) => ({
      type: entry.readUInt32LE(0),
      offset: Number(entry.readBigUInt64LE(8)),
      address: Number(entry.readBigUInt64LE(16)),
      size: Number(entry.readBigUInt64LE(32)),
    }));
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    const entries = dynamic
      ? pieces(readAt(fd, dynamic.offset, dynamic.size), 16).map((entry) => ({
          tag: Number(entry.readBigInt64LE(0)),
          value: Number(entry.readBigUInt64LE(8)),
        }))
      : [];
    const valueFor = (tag: number) => entries.find((entry) => entry.tag === tag)?.value ?? 0;
    const address = valueFor(DT_STRTAB);
    const home = segments.find(
      (segment) => segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.size,
    );
    const strings = home ? readAt(fd, address - home.address + home.offset, valueFor(DT_STRSZ)) : Buffer.alloc(0);
    const text = ({ value }: { value: number }) => strings.toString('utf8', value, strings.indexOf(0, value));
    return {
      names: entries.filter(({ tag }) => tag === DT_NEEDED).map(text),
      runPath: entries
        .filter(({ tag }) => tag === DT_RUNPATH || tag === DT_RPATH)
        .flatMap((entry) => text(entry).split(':'))
        .map((path) => path.replace(/\$\{?ORIGIN\}?/, dirname(file))),
    };
  } finally {
    closeSync(fd);
  }
}

/**
 * A function that tells where the loader finds a library, in its order: `LD_LIBRARY_PATH`, the folders given, its cache, the
 * system's folders.
 */
export function libraryFinder(folders: readonly string[]): (name: string) => string | undefined {
  const environment = (process.env.LD_LIBRARY_PATH ?? '').split(':').filter((path) => path !== '');
  const system = ['/lib', '/usr/lib', '/lib64', '/usr/lib64'];
  let cache: Map<string, string> | undefined;
  const inFolders = (name: string, places: readonly string[]) =>
    places.map((folder) => join(folder, name)).find((path) => existsSync(path));
  return (name) => {
    const near = inFolders(name, [...environment, ...folders]);
    if (near) return near;
    cache ??= loaderCache();
    return cache.get(name) ?? inFolders(name, system);
  };
}

function loaderCache(): Map<string, string> {
  for (const program of ['ldconfig', '/sbin/ldconfig']) {
    try {
      const listing = execFileSync(program, ['-p'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
      return new Map([...listing.matchAll(/^\s*(\S+) \(.*\) => (\S+)$/gm)].map(([, name, path]) => [name!, path!]));
    } catch {
      // Not on the path, or a system without a loader's cache.
    }
  }
  return new Map();
}

function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: size > 0 ? Math.floor(bytes.length / size) : 0 }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}
