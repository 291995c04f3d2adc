/** Downloads to this machine, for hosts that reach no network. VS Code's own fetch knows the person's proxy. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { fileError } from '../hosts/fileError';
import { reasonOf } from '../hosts/limits';

export interface Digest {
  algorithm: string;
  encoding: 'hex' | 'base64';
  value: string;
}

/** A server that sends nothing for so long has hung up without saying so. */
const STALL_MS = 30_000;

/** @throws TuneyardError `transfer_failed`, `cancelled` */
export async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of read(url, signal)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

/**
 * Fetches a file unless it is there already. It has its name only once it is whole and right.
 * @param digest what it must have; where none is published, being there is enough
 * @throws TuneyardError `transfer_failed`, `cancelled`, `disk_full`, `not_writable`
 */
export async function fetchFile(
  url: string,
  path: string,
  { digest, signal, onShare }: { digest?: Digest; signal?: AbortSignal; onShare?(share: number): void },
): Promise<void> {
  const kept = await digestOf(path, digest?.algorithm, digest?.encoding).catch(() => undefined);
  if (kept !== undefined && (digest === undefined || kept === digest.value)) return;
  const hash = createHash(digest?.algorithm ?? 'sha256');
  const temporary = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await pipeline(
      read(url, signal, onShare),
      async function* (pieces: AsyncIterable<Uint8Array>) {
        for await (const piece of pieces) {
          hash.update(piece);
          yield piece;
        }
      },
      createWriteStream(temporary),
    );
    const found = hash.digest(digest?.encoding ?? 'hex');
    if (digest !== undefined && found !== digest.value) throw damaged(url, digest, found);
    await rename(temporary, path);
  } catch (error) {
    throw error instanceof TuneyardError ? error : fileError(error, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

export const sha256Of = (path: string): Promise<string> => digestOf(path, 'sha256', 'hex');

async function digestOf(path: string, algorithm = 'sha256', encoding: 'hex' | 'base64' = 'hex'): Promise<string> {
  const hash = createHash(algorithm);
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest(encoding);
}

async function* read(url: string, signal?: AbortSignal, onShare?: (share: number) => void): AsyncGenerator<Uint8Array> {
  const stall = new AbortController();
  const watchdog = setTimeout(() => stall.abort(), STALL_MS);
  try {
    const response = await fetch(url, { signal: AbortSignal.any([stall.signal, ...(signal ? [signal] : [])]) });
    if (!response.ok || !response.body) {
      throw new TuneyardError('transfer_failed', l10n.t('{0} answers {1}; check the address.', url, response.status));
    }
    const total = Number(response.headers.get('content-length'));
    let bytes = 0;
    for await (const piece of response.body) {
      watchdog.refresh();
      bytes += piece.length;
      if (total > 0) onShare?.(bytes / total);
      yield piece;
    }
  } catch (cause) {
    if (cause instanceof TuneyardError) throw cause;
    if (signal?.aborted) throw reasonOf(signal);
    const why = stall.signal.aborted ? l10n.t('it sends nothing any more') : reasonFor(cause);
    throw new TuneyardError('transfer_failed', l10n.t('{0} cannot be fetched: {1}.', url, why), { cause });
  } finally {
    clearTimeout(watchdog);
  }
}

/** fetch hides it one level down. */
function reasonFor(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

function damaged(url: string, { algorithm, value }: Digest, found: string): TuneyardError {
  return new TuneyardError(
    'transfer_failed',
    l10n.t(
      'The download of {0} is damaged: its {1} is {2} instead of {3}; try again.',
      url,
      algorithm === 'sha256' ? 'SHA-256' : 'SHA-512',
      found,
      value,
    ),
  );
}
