/** Files from the network that are worth nothing unless they are the right ones. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from '../hub/diskError';

export interface DownloadOptions {
  /** As npm writes it: `sha512-` and base64. */
  integrity?: string;
  signal?: AbortSignal;
  /** Bytes so far, and in all where the server says it. */
  onProgress?(bytes: number, total: number | undefined): void;
}

/** A server that sends nothing for so long has hung up without saying so. */
const STALL_MS = 30_000;

/**
 * Fetches a file. It has its name only once it is whole and, with `integrity`, right.
 * @throws TuneyardError `transfer_failed`; `cancelled`; `disk_full`, `not_writable`
 */
export async function download(url: string, file: string, options: DownloadOptions = {}): Promise<void> {
  const { integrity, signal, onProgress } = options;
  const temporary = `${file}.${process.pid}.part`;
  const [algorithm = 'sha512', wanted] = integrity?.split(/-(.*)/s) ?? [];
  const hash = createHash(algorithm);
  const stall = new AbortController();
  const watchdog = setTimeout(() => stall.abort(), STALL_MS);
  try {
    await mkdir(dirname(file), { recursive: true });
    const response = await fetch(url, {
      redirect: 'follow',
      signal: AbortSignal.any([stall.signal, ...(signal ? [signal] : [])]),
    });
    if (!response.ok || !response.body) {
      throw new TuneyardError(
        'transfer_failed',
        `${url} answers ${response.status} ${response.statusText}; check the address.`,
      );
    }
    const total = Number(response.headers.get('content-length')) || undefined;
    let bytes = 0;
    const watch = new Transform({
      transform(piece: Buffer, _, done) {
        watchdog.refresh();
        hash.update(piece);
        bytes += piece.length;
        onProgress?.(bytes, total);
        done(null, piece);
      },
    });
    await pipeline(Readable.fromWeb(response.body), watch, createWriteStream(temporary));
    const found = hash.digest('base64');
    if (wanted !== undefined && found !== wanted) {
      throw new TuneyardError(
        'transfer_failed',
        `${url} is not what it should be: its ${algorithm} is ${found.slice(0, 12)}… instead of ${wanted.slice(0, 12)}…; try again, or use another server.`,
      );
    }
    await rename(temporary, file);
  } catch (error) {
    throw explain(error, url, file, signal, stall.signal);
  } finally {
    clearTimeout(watchdog);
    await rm(temporary, { force: true });
  }
}

function explain(
  error: unknown,
  url: string,
  file: string,
  signal: AbortSignal | undefined,
  stall: AbortSignal,
): unknown {
  if (error instanceof TuneyardError) return error;
  if (signal?.aborted) return new TuneyardError('cancelled', 'the download was cancelled.');
  if (stall.aborted) return new TuneyardError('transfer_failed', `${url} sends nothing any more; try again.`);
  const code = systemErrorCode(error);
  if (code !== undefined && ['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT'].includes(code)) return asWriteError(error, file);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TuneyardError('transfer_failed', `${url} cannot be reached (${why}).`, { cause: error });
}
