/**
 * Files in a bucket of Cloud Storage. An upload that breaks off is gone on with, also by a later process; what has arrived
 * is compared with what was sent.
 * https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { type GoogleApi, succeeded } from './googleApi';
import { httpOpen } from './httpRequest';

interface StoredObject {
  name: string;
  /** Google writes 64-bit numbers as text. */
  size: string;
  md5Hash?: string;
}

/** In a row, without a byte in between. */
const MAX_FAILURES = 6;
const FIRST_WAIT_MS = 500;
/** Sent at once; a multiple of 256 KiB, as Google asks for. */
const PIECE_BYTES = 16 << 20;

export class Bucket {
  constructor(
    private readonly api: GoogleApi,
    readonly name: string,
  ) {}

  /**
   * Uploads the first `bytes` of a file, which may be growing.
   * @param session where an earlier attempt was sent to; `onSession` is told of a new one, to be kept
   */
  async upload(path: string, object: string, { bytes, session, onSession, signal }: UploadOptions): Promise<void> {
    const md5 = await md5Of(path, bytes);
    for (let attempt = 1; ; attempt++) {
      const url = session ?? (await this.#begin(object, bytes, signal));
      if (session === undefined) await onSession?.(url);
      const stored = await this.#send(url, path, bytes, signal);
      if (stored && Number(stored.size) === bytes && (stored.md5Hash === undefined || stored.md5Hash === md5)) return;
      // Gone after a week, or not what was sent: from the start.
      session = undefined;
      if (attempt === 3) {
        throw new TuneyardError('transfer_failed', `${path} does not arrive in gs://${this.name} as it was sent.`);
      }
    }
  }

  /** A small text, replaced as a whole. */
  async put(object: string, text: string, signal?: AbortSignal): Promise<void> {
    const url = `${this.api.storage}/upload/storage/v1/b/${enc(this.name)}/o?uploadType=media&name=${enc(object)}`;
    succeeded(await this.api.request(url, { method: 'POST', body: text, signal }));
  }

  async list(prefix: string, signal?: AbortSignal): Promise<StoredObject[]> {
    const found: StoredObject[] = [];
    for (let page = ''; ; ) {
      const url = `${this.api.storage}/storage/v1/b/${enc(this.name)}/o?prefix=${enc(prefix)}&pageToken=${enc(page)}`;
      const { items = [], nextPageToken } = await this.api.json<{ items?: StoredObject[]; nextPageToken?: string }>(
        page === '' ? url.replace(/&pageToken=$/, '') : url,
        { signal },
      );
      found.push(...items);
      if (!nextPageToken) return found;
      page = nextPageToken;
    }
  }

  /** Beside, then renamed; its folder is made. What is broken off is gone on with. */
  async download(object: StoredObject, path: string, signal?: AbortSignal): Promise<void> {
    const bytes = Number(object.size);
    const partial = `${path}.part`;
    await mkdir(dirname(path), { recursive: true });
    if ((await bytesOf(partial)) > bytes) await rm(partial, { force: true });
    for (let failures = 0; ; ) {
      const from = await bytesOf(partial);
      try {
        if (from < bytes || bytes === 0) await this.#receive(object.name, partial, from, signal);
        break;
      } catch (error) {
        failures = (await bytesOf(partial)) > from ? 1 : failures + 1;
        if (failures > MAX_FAILURES || isLasting(error)) throw error;
        await sleep(FIRST_WAIT_MS * 2 ** (failures - 1), undefined, { signal });
      }
    }
    if (object.md5Hash !== undefined && (await md5Of(partial, bytes)) !== object.md5Hash) {
      await rm(partial, { force: true });
      throw new TuneyardError('transfer_failed', `gs://${this.name}/${object.name} arrives damaged.`);
    }
    await rename(partial, path);
  }

  async #begin(object: string, bytes: number, signal?: AbortSignal): Promise<string> {
    const url = `${this.api.storage}/upload/storage/v1/b/${enc(this.name)}/o?uploadType=resumable&name=${enc(object)}`;
    const headers = { 'x-upload-content-type': 'application/octet-stream', 'x-upload-content-length': String(bytes) };
    const answer = await this.api.request(url, { method: 'POST', headers, body: '{}', signal });
    const session = succeeded(answer).headers.location;
    if (!session) throw new TuneyardError('transfer_failed', 'Cloud Storage began no upload.');
    return session;
  }

  /** @returns undefined where the session is of no use any more */
  async #send(
    session: string,
    path: string,
    bytes: number,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject | undefined> {
    let failures = 0;
    let there = await this.#ask(session, bytes, signal);
    while (typeof there === 'number') {
      const from = there;
      const to = Math.min(bytes, from + PIECE_BYTES);
      try {
        const stream = createReadStream(path, { start: from, end: Math.max(from, to - 1) });
        const range = bytes === 0 ? 'bytes */0' : `bytes ${from}-${to - 1}/${bytes}`;
        const answer = await this.api.once(session, {
          method: 'PUT',
          headers: { 'content-range': range, 'content-type': 'application/octet-stream' },
          body: bytes === 0 ? '' : { stream, bytes: to - from },
          signal,
        });
        there = where(answer.status, answer.headers.range, answer.text);
        failures = 0;
        if (there === 'again') throw new TuneyardError('cloud_failed', `status ${answer.status}`);
      } catch (error) {
        if (isLasting(error) || ++failures > MAX_FAILURES) throw error;
        await sleep(FIRST_WAIT_MS * 2 ** (failures - 1), undefined, { signal });
        there = await this.#ask(session, bytes, signal);
        if (typeof there === 'number' && there > from) failures = 0;
      }
    }
    return there === 'again' ? undefined : there;
  }

  /** How much of it is there. */
  async #ask(session: string, bytes: number, signal?: AbortSignal): Promise<Progress> {
    const headers = { 'content-range': `bytes */${bytes}` };
    const {
      status,
      headers: said,
      text,
    } = await this.api.request(session, { method: 'PUT', headers, body: '', signal });
    return where(status, said.range, text);
  }

  async #receive(object: string, path: string, from: number, signal: AbortSignal | undefined): Promise<void> {
    const url = `${this.api.storage}/storage/v1/b/${enc(this.name)}/o/${enc(object)}?alt=media`;
    const headers = await this.api.headers(from > 0 ? { range: `bytes=${from}-` } : {});
    const { status, body } = await httpOpen(url, { headers, signal });
    if (status !== 200 && status !== 206) {
      body.destroy();
      const code = status === 403 || status === 401 ? 'cloud_permission' : 'transfer_failed';
      throw new TuneyardError(code, `gs://${this.name}/${object} cannot be read (status ${status}).`);
    }
    // Who does not heed the range sends all of it.
    if (status === 200 && from > 0) await truncate(path, 0);
    await pipeline(body, createWriteStream(path, { flags: 'a' }));
  }
}

export interface UploadOptions {
  bytes: number;
  session?: string;
  onSession?(url: string): void | Promise<void>;
  signal?: AbortSignal;
}

/** Bytes that are there; the object once it is whole; undefined where the session is gone; `again`: not now. */
type Progress = number | StoredObject | undefined | 'again';

function where(status: number, range: string | undefined, text: string): Progress {
  if (status === 200 || status === 201) return JSON.parse(text) as StoredObject;
  if (status === 308) return range === undefined ? 0 : Number(/-(\d+)$/.exec(range)?.[1] ?? -1) + 1;
  if (status === 408 || status === 429 || status >= 500) return 'again';
  return undefined;
}

const isLasting = (error: unknown): boolean =>
  error instanceof TuneyardError && ['cloud_permission', 'cancelled'].includes(error.code);

const enc = encodeURIComponent;

async function bytesOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** As Cloud Storage tells it: in base64. */
async function md5Of(path: string, bytes: number): Promise<string> {
  const hash = createHash('md5');
  if (bytes > 0) for await (const piece of createReadStream(path, { end: bytes - 1 })) hash.update(piece);
  return hash.digest('base64');
}
