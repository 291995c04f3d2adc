/** A plain HTTP request: what a small process that lives for days needs, at a tenth of the memory of `fetch`. */
import { type IncomingHttpHeaders, request as plain } from 'node:http';
import { request as secure } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';

export interface HttpOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: string | { stream: Readable; bytes: number };
  /** Without a byte in either direction. Default 30 s. */
  stallMs?: number;
  signal?: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

const STALL_MS = 30_000;
/** Answers are small; what is larger is none of them. */
const ANSWER_BYTES = 4 << 20;

/** @throws TuneyardError `connection_failed`, `timed_out`, `cancelled`; a status is never an error here */
export async function httpRequest(url: string, options: HttpOptions = {}): Promise<HttpAnswer> {
  const { status, headers, body } = await httpOpen(url, options);
  let text = '';
  let bytes = 0;
  try {
    for await (const piece of body.setEncoding('utf8')) {
      text += piece;
      bytes += piece.length;
      if (bytes > ANSWER_BYTES) throw new Error('the answer is too long');
    }
  } catch (error) {
    throw failed(url, error, options.signal);
  }
  return { status, headers, text };
}

/** The answer's body is the caller's to read, or to destroy. */
export async function httpOpen(
  url: string,
  { method = 'GET', headers = {}, body, stallMs = STALL_MS, signal }: HttpOptions = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Readable }> {
  const size = body === undefined ? undefined : typeof body === 'string' ? Buffer.byteLength(body) : body.bytes;
  try {
    return await new Promise((resolve, reject) => {
      const request = (url.startsWith('https:') ? secure : plain)(url, {
        method,
        headers: { ...headers, ...(size !== undefined && { 'content-length': String(size) }) },
        ...(signal && { signal }),
        agent: false,
      });
      request.setTimeout(stallMs, () => request.destroy(new Stalled()));
      request.on('error', reject);
      request.on('response', (response) => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response });
      });
      if (body === undefined || typeof body === 'string') request.end(body);
      else pipeline(body.stream, request).catch(reject);
    });
  } catch (error) {
    throw failed(url, error, signal);
  }
}

class Stalled extends Error {}

function failed(url: string, cause: unknown, signal: AbortSignal | undefined): TuneyardError {
  if (cause instanceof TuneyardError) return cause;
  if (signal?.aborted) return new TuneyardError('cancelled', 'cancelled.');
  const { host } = new URL(url);
  if (cause instanceof Stalled) return new TuneyardError('timed_out', `${host} does not answer.`, { cause });
  const why = cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause);
  return new TuneyardError('connection_failed', `${host} cannot be reached: ${why}.`, { cause });
}
