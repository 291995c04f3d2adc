/** Files to a host and back: many requests on their way at once, gone on with where it broke off, never stuck. */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { fileError } from '../fileError';
import type { TransferOptions } from '../host';
import { inSeconds, type Limits, within } from '../limits';
import type { Sftp } from './sftp';

/** What every server takes in one request. */
const CHUNK = 31 * 1024;
/** Requests on their way at once. */
const WINDOW = 96;
/** As many are sent once more when an upload goes on. */
const OVERLAP = 8;

export interface Course extends TransferOptions {
  /** `timed_out` when no byte moves for so long. */
  stallMs: number;
}

export async function uploadFile(sftp: Sftp, local: string, remote: string, course: Course): Promise<void> {
  const { from = 0, onProgress, signal } = course;
  const bounds = limitsOf(sftp, course);
  const source = await openLocal(local, 'r');
  let handle: Buffer | undefined;
  try {
    const { size: total } = await source.stat();
    await sftp.makeFolder(folderOf(remote));
    const there = from > 0 ? await sftp.statIfThere(remote, signal) : undefined;
    const done = Math.min(from, there?.size ?? 0, total);
    handle = await sftp.open(remote, done > 0 ? 'r+' : 'w', undefined, signal);
    onProgress?.(done, total);
    // Servers write requests in the order they come; only the last of them may have been torn when it broke off
    const start = Math.max(0, done - CHUNK * OVERLAP);
    const turns = inTurn();
    await inOrder(start, total, bounds, {
      request: async (position, length) => {
        const data = Buffer.allocUnsafe(length);
        // Reads may end in any order. What is sent must not: a hole would count as there when it is gone on with
        const next = turns();
        const writing = await next(source.read(data, 0, length, position), ({ bytesRead }) => {
          if (bytesRead < length) throw changed(local);
          return { done: sftp.write(remote, handle as Buffer, data, position) };
        });
        await writing.done;
        return data;
      },
      settled: (position, data) => onProgress?.(Math.max(done, position + data.length), total),
    });
    const { size } = await sftp.fstat(remote, handle, signal);
    if (size > total) await sftp.truncate(remote, handle, total);
    await sftp.close(remote, handle);
    handle = undefined;
  } finally {
    if (handle) sftp.closeLater(handle);
    await source.close();
  }
}

/** Each call takes a turn: what it then does behind its work begins when those before have begun, or have failed. */
function inTurn() {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const before = last;
    let leave = () => {};
    last = new Promise<void>((resolve) => {
      leave = resolve;
    });
    return async <T, U>(work: Promise<T>, act: (result: T) => U): Promise<U> => {
      try {
        const result = await work;
        await before;
        return act(result);
      } finally {
        leave();
      }
    };
  };
}

export async function downloadFile(sftp: Sftp, remote: string, local: string, course: Course): Promise<void> {
  const { from = 0, onProgress, signal } = course;
  const bounds = limitsOf(sftp, course);
  const handle = await sftp.open(remote, 'r', undefined, signal);
  let target: FileHandle | undefined;
  try {
    const { size: total } = await sftp.fstat(remote, handle, signal);
    await mkdir(dirname(local), { recursive: true }).catch((error) => {
      throw fileError(error, local);
    });
    // Appending would ignore positions: where something is to be gone on with, it is made sure of first
    if (from > 0) await (await openLocal(local, 'a')).close();
    const file = await openLocal(local, from > 0 ? 'r+' : 'w');
    target = file;
    const start = Math.min(from, (await file.stat()).size, total);
    onProgress?.(start, total);
    await inOrder(start, total, bounds, {
      request: (position, length) => readWhole(sftp, remote, handle, position, length),
      // In order, so that what is there is whole up to its end
      settled: async (position, data) => {
        await writeAll(file, local, data, position);
        onProgress?.(position + data.length, total);
      },
    });
    await file.truncate(total);
  } finally {
    sftp.closeLater(handle);
    await target?.close();
  }
}

/** A whole file into memory; also one that has no size, as those in /proc. */
export async function readWholeFile(sftp: Sftp, remote: string, course: Course): Promise<Buffer> {
  const bounds = limitsOf(sftp, course);
  const handle = await sftp.open(remote, 'r', undefined, course.signal);
  try {
    const { size } = await sftp.fstat(remote, handle, course.signal);
    const parts: Buffer[] = [];
    await inOrder(0, size, bounds, {
      request: (position, length) => sftp.read(remote, handle, position, length),
      settled: (_, data) => void parts.push(data),
    });
    // It may have grown meanwhile, or not have said how large it is
    for (let position = parts.reduce((sum, part) => sum + part.length, 0); ; ) {
      const part = await within(sftp.read(remote, handle, position, CHUNK), bounds);
      if (part.length === 0) return Buffer.concat(parts);
      parts.push(part);
      position += part.length;
    }
  } finally {
    sftp.closeLater(handle);
  }
}

/** Fills an open file from its start. */
export function writeContent(sftp: Sftp, path: string, handle: Buffer, content: Buffer, course: Course): Promise<void> {
  return inOrder(0, content.length, limitsOf(sftp, course), {
    request: async (position, length) => {
      const data = content.subarray(position, position + length);
      await sftp.write(path, handle, data, position);
      return data;
    },
    settled: () => {},
  });
}

interface Work {
  request(position: number, length: number): Promise<Buffer>;
  settled(position: number, data: Buffer): void | Promise<void>;
}

/** Keeps a window of requests going, and takes their results in order. */
async function inOrder(start: number, end: number, bounds: Limits, { request, settled }: Work): Promise<void> {
  const pending: { position: number; result: Promise<Buffer> }[] = [];
  for (let next = start; next < end || pending.length > 0; ) {
    while (next < end && pending.length < WINDOW) {
      const length = Math.min(CHUNK, end - next);
      const result = request(next, length);
      result.catch(() => {});
      pending.push({ position: next, result });
      next += length;
    }
    const { position, result } = pending.shift() as (typeof pending)[number];
    const data = await within(result, bounds);
    await settled(position, data);
  }
}

function limitsOf({ ended, label }: Sftp, { signal, stallMs }: Course): Limits {
  return {
    signals: [signal, ended],
    timeoutMs: stallMs,
    timeout: () => l10n.t('The transfer with {0} stands still: nothing came for {1} s.', label, inSeconds(stallMs)),
  };
}

/** A server may answer with less than was asked for. */
async function readWhole(sftp: Sftp, path: string, handle: Buffer, position: number, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let read = 0; read < length; ) {
    const part = await sftp.read(path, handle, position + read, length - read);
    if (part.length === 0) throw changed(path);
    parts.push(part);
    read += part.length;
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** A full disk takes a part first, and refuses then. */
async function writeAll(file: FileHandle, path: string, data: Buffer, position: number): Promise<void> {
  try {
    for (let written = 0; written < data.length; ) {
      written += (await file.write(data, written, data.length - written, position + written)).bytesWritten;
    }
  } catch (error) {
    throw fileError(error, path);
  }
}

async function openLocal(path: string, flags: string): Promise<FileHandle> {
  return open(path, flags).catch((error) => {
    throw fileError(error, path);
  });
}

function folderOf(path: string): string {
  return path.replace(/\/+[^/]*$/, '') || '/';
}

function changed(path: string): TuneyardError {
  return new TuneyardError('transfer_failed', l10n.t('{0} became shorter while it was copied.', path));
}
