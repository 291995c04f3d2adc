/** The lines of a UTF-8 file, checked byte by byte: wrong bytes are an error that names their line, never "�". */
import { createReadStream } from 'node:fs';
import { TuneyardError } from '@protocol/errors';

export interface Line {
  /** From 1. */
  line: number;
  /** With its line ending (LF or CRLF; the last line may have none), without a byte order mark. */
  text: string;
  /** Bytes of the text. */
  bytes: number;
}

const LF = 0x0a;

/** A row may be this large: what is larger would not fit the memory that tokenizing it takes. */
export const MOST_ROW_BYTES = 64 << 20;

/**
 * Reads a file line by line.
 *
 * @param mostBytes a line that is longer is refused before all of it is read
 * @throws TuneyardError `encoding_invalid`, `dataset_invalid` (too long) with the line; `cancelled`; `file_not_found` and `dataset_invalid` as
 *   {@link readError} says
 */
export async function* readLines(
  path: string,
  signal?: AbortSignal,
  mostBytes = Number.POSITIVE_INFINITY,
): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let line = 0;
  // Bytes of a line whose end has not come yet.
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const finish = (tail: Buffer): Line => {
    const bytes = pending.length > 0 ? Buffer.concat([...pending, tail]) : tail;
    pending = [];
    pendingBytes = 0;
    line++;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch (cause) {
      throw new TuneyardError('encoding_invalid', encodingAdvice(bytes, line), { place: { file: path, line }, cause });
    }
    if (line === 1 && text.startsWith('\ufeff')) text = text.slice(1);
    return { line, text, bytes: Buffer.byteLength(text) };
  };
  try {
    for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
        yield finish(chunk.subarray(start, end + 1));
        start = end + 1;
      }
      if (start === chunk.length) continue;
      pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > mostBytes) throw tooLarge(path, line + 1);
    }
    if (pending.length > 0) yield finish(Buffer.alloc(0));
  } catch (error) {
    throw readError(error, path);
  }
}

/**
 * Decodes one or more whole lines.
 *
 * @param line the first one's number
 * @throws TuneyardError `encoding_invalid` with the line
 */
export function decodeLines(bytes: Buffer, line: number, file: string): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    const text = decoder.decode(bytes);
    return line === 1 && text.startsWith('\ufeff') ? text.slice(1) : text;
  } catch (cause) {
    // Which of the lines it is.
    for (let start = 0, at = line; start < bytes.length; at++) {
      const lf = bytes.indexOf(LF, start);
      const end = lf < 0 ? bytes.length : lf + 1;
      const one = bytes.subarray(start, end);
      try {
        decoder.decode(one);
      } catch {
        throw new TuneyardError('encoding_invalid', encodingAdvice(one, at), { place: { file, line: at }, cause });
      }
      start = end;
    }
    throw new TuneyardError('encoding_invalid', encodingAdvice(bytes, line), { place: { file, line }, cause });
  }
}

/** A row, or a line, of more than {@link MOST_ROW_BYTES}. */
export function tooLarge(file: string, line: number): TuneyardError {
  const what = `the row that begins here is larger than ${MOST_ROW_BYTES >> 20} MB; split it into smaller ones.`;
  return new TuneyardError('dataset_invalid', what, { place: { file, line } });
}

/** The whole file as text; errors as {@link readLines}. */
export async function readText(path: string, signal?: AbortSignal): Promise<string> {
  const parts: string[] = [];
  for await (const { text } of readLines(path, signal)) parts.push(text);
  return parts.join('');
}

/** A line without its ending. */
export function withoutEnding(text: string): string {
  return text.endsWith('\r\n') ? text.slice(0, -2) : text.endsWith('\n') ? text.slice(0, -1) : text;
}

/** What went wrong while reading a dataset file, as an error for the user; a TuneyardError stays what it is. */
export function readError(error: unknown, path: string): TuneyardError {
  if (error instanceof TuneyardError) return error;
  const place = { file: path };
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ABORT_ERR' || (error instanceof Error && error.name === 'AbortError')) {
    return new TuneyardError('cancelled', 'reading the data was cancelled.', { cause: error });
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new TuneyardError('file_not_found', 'there is no such dataset file; check `dataset.path`.', {
      place,
      cause: error,
    });
  }
  if (code === 'EISDIR') {
    return new TuneyardError('dataset_invalid', 'this is a folder; name one file in it.', { place, cause: error });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new TuneyardError('dataset_invalid', 'you may not read this file; check its permissions.', {
      place,
      cause: error,
    });
  }
  const why = error instanceof Error ? error.message : String(error);
  return new TuneyardError('dataset_invalid', `the file cannot be read (${why}).`, { place, cause: error });
}

function encodingAdvice(bytes: Buffer, line: number): string {
  const utf16 = line === 1 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff));
  if (utf16) return 'the file is UTF-16; save it as UTF-8.';
  return 'this line is not UTF-8 text; save the file as UTF-8.';
}
