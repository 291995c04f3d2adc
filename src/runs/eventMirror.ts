/**
 * This machine's own copy of the events of runs elsewhere: what was seen once need not be fetched again. A file a run,
 * JSON lines. Several windows may write to one: doubles, half lines and gaps are expected, and mended when it is read.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, open, readdir, rm, stat, truncate, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { type RunRef, runKey } from './runs';

/** All copies together; the ones that were not looked at for longest go first. */
const MAX_BYTES = 512e6;
const PIECE = 1 << 20;
const NEWLINE = 10;

/** How a copy ends. */
interface Tail {
  bytes: number;
  /** Of its last whole event. */
  seq: number;
  endsLine: boolean;
}

export class EventMirror {
  #queue: Promise<void> = Promise.resolve();
  /** As this window left them. */
  readonly #tails = new Map<string, Tail>();
  #bytes: number | undefined;

  constructor(
    private readonly folder: string,
    private readonly maxBytes = MAX_BYTES,
  ) {}

  /** The events that are there, from the first, without a gap or a double, many at a time. */
  async *read(ref: RunRef): AsyncGenerator<RunEvent[]> {
    await this.#queue;
    const path = this.#path(ref);
    const now = new Date();
    try {
      await utimes(path, now, now);
    } catch {
      return;
    }
    let [seq, good] = [0, 0];
    let rest: Buffer = Buffer.alloc(0);
    for await (const piece of createReadStream(path, { highWaterMark: PIECE }) as AsyncIterable<Buffer>) {
      const text = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
      const events: RunEvent[] = [];
      let start = 0;
      let isWhole = true;
      for (let end = text.indexOf(NEWLINE); end >= 0 && isWhole; end = text.indexOf(NEWLINE, start)) {
        const event = parse(text.toString('utf8', start, end));
        if (event?.seq === seq + 1) {
          events.push(event);
          seq++;
        }
        isWhole = event === undefined || event.seq <= seq;
        if (isWhole) start = end + 1;
      }
      good += start;
      rest = text.subarray(start);
      yield events;
      if (isWhole) continue;
      // What comes behind a gap is of no use, and would stay in the way.
      await truncate(path, good);
      return;
    }
  }

  /** Appends what follows on the copy; a disk that is full costs the copy, not the person. */
  append(ref: RunRef, events: readonly RunEvent[]): void {
    this.#then(async () => {
      const path = this.#path(ref);
      await mkdir(this.folder, { recursive: true });
      const tail = await this.#tail(path);
      const fresh = events.filter(({ seq }) => seq > tail.seq);
      const last = fresh.at(-1);
      if (!last || fresh[0]!.seq !== tail.seq + 1) return;
      const text = (tail.endsLine ? '' : '\n') + fresh.map((event) => `${JSON.stringify(event)}\n`).join('');
      await appendFile(path, text);
      const added = Buffer.byteLength(text);
      this.#tails.set(path, { bytes: tail.bytes + added, seq: last.seq, endsLine: true });
      this.#bytes = this.#bytes === undefined ? await this.#total() : this.#bytes + added;
      if (this.#bytes > this.maxBytes) await this.#shrink(path);
    });
  }

  remove(ref: RunRef): void {
    this.#then(() => rm(this.#path(ref), { force: true }));
  }

  /** Resolves when all is written. */
  settled(): Promise<void> {
    return this.#queue;
  }

  #then(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work).catch(() => undefined);
  }

  #path(ref: RunRef): string {
    return join(this.folder, `${createHash('sha256').update(runKey(ref)).digest('hex').slice(0, 24)}.jsonl`);
  }

  /** Looked up anew where another window wrote to it. */
  async #tail(path: string): Promise<Tail> {
    const bytes = await stat(path).then(
      ({ size }) => size,
      () => 0,
    );
    if (bytes === 0) return { bytes, seq: 0, endsLine: true };
    const known = this.#tails.get(path);
    return known?.bytes === bytes ? known : readTail(path, bytes);
  }

  async #files(): Promise<{ path: string; bytes: number; used: number }[]> {
    const names = await readdir(this.folder);
    const found = names.map(async (name) => {
      const path = join(this.folder, name);
      const { size, mtimeMs } = await stat(path);
      return { path, bytes: size, used: mtimeMs };
    });
    return Promise.all(found);
  }

  async #total(): Promise<number> {
    return (await this.#files()).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async #shrink(keep: string): Promise<void> {
    let bytes = await this.#total();
    for (const file of (await this.#files()).sort((a, b) => a.used - b.used)) {
      if (bytes <= this.maxBytes / 2) break;
      if (file.path === keep) continue;
      await rm(file.path, { force: true });
      bytes -= file.bytes;
    }
    this.#bytes = bytes;
  }
}

/** The last whole event of a file, looked for from behind. */
async function readTail(path: string, bytes: number): Promise<Tail> {
  const file = await open(path);
  try {
    for (let length = Math.min(PIECE, bytes); ; length = Math.min(2 * length, bytes)) {
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, bytes - length);
      const endsLine = buffer.at(-1) === NEWLINE;
      for (let end = buffer.lastIndexOf(NEWLINE); end > 0; ) {
        const start = buffer.lastIndexOf(NEWLINE, end - 1);
        // What begins before the piece is not whole in it, unless the file begins there.
        if (start < 0 && length < bytes) break;
        const event = parse(buffer.toString('utf8', start + 1, end));
        if (event) return { bytes, seq: event.seq, endsLine };
        end = start;
      }
      if (length === bytes) return { bytes, seq: 0, endsLine };
    }
  } finally {
    await file.close();
  }
}

function parse(line: string): RunEvent | undefined {
  try {
    const event = JSON.parse(line) as RunEvent;
    return typeof event?.seq === 'number' ? event : undefined;
  } catch {
    return undefined;
  }
}
