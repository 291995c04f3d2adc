/** `events.jsonl`: what happened in a run, one JSON object a line, append only, numbered from 1 without a gap. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import type { RunEvent, RunEventBody } from '@protocol/events';
import { asWriteError, systemErrorCode } from '../hub/diskError';
import { EVENTS_FILE } from './runDir';

export interface EventLog {
  /**
   * Numbers, dates and writes an event. When this returns, the system has it: it outlives this process. What matters
   * for going on (start, evaluation, checkpoint, end) is synced as well, so that it outlives a power cut.
   * @throws TuneyardError `disk_full`, `not_writable`; nothing of the event is then in the file
   */
  append(body: RunEventBody): RunEvent;
  /** Number of the last event; 0 where there is none. */
  readonly lastSeq: number;
  /** Step of the last event; 0 where there is none. */
  readonly lastStep: number;
  /** The second call does nothing. */
  close(): Promise<void>;
}

const SYNCED: ReadonlySet<RunEventBody['type']> = new Set(['start', 'eval', 'checkpoint', 'end']);
const PIECE_BYTES = 64 << 10;
const POLL_MS = 200;
const NEWLINE = 0x0a;

/**
 * Opens a run's events to append to. Half a line that a crash left at the end is cut off first.
 * @param dir a run directory whose lock the caller holds
 * @throws TuneyardError `not_writable`, `disk_full`, `file_not_found` (no such directory)
 */
export async function openEventLog(dir: string): Promise<EventLog> {
  const path = join(dir, EVENTS_FILE);
  try {
    return new AppendingLog(path);
  } catch (error) {
    throw asWriteError(error, path);
  }
}

class AppendingLog implements EventLog {
  readonly #path: string;
  #fd: number | undefined;
  #bytes: number;
  #seq: number;
  #step: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'a+');
    try {
      const end = lastEvent(this.#fd);
      this.#bytes = end.bytes;
      this.#seq = end.seq;
      this.#step = end.step;
      ftruncateSync(this.#fd, end.bytes);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  get lastSeq(): number {
    return this.#seq;
  }

  get lastStep(): number {
    return this.#step;
  }

  append(body: RunEventBody): RunEvent {
    const fd = this.#fd;
    if (fd === undefined) throw new TuneyardError('internal', `${this.#path} was closed before a ${body.type} event.`);
    const event: RunEvent = { seq: this.#seq + 1, time: new Date().toISOString(), ...body };
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    try {
      // A disk that becomes full takes a part first.
      for (let done = 0; done < line.length; ) done += writeSync(fd, line, done);
      if (SYNCED.has(body.type)) fsyncSync(fd);
    } catch (error) {
      ftruncateSync(fd, this.#bytes);
      throw asWriteError(error, this.#path);
    }
    this.#bytes += line.length;
    this.#seq = event.seq;
    this.#step = event.step;
    return event;
  }

  async close(): Promise<void> {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    fsyncSync(fd);
    closeSync(fd);
  }
}

/** The last whole event of a file, and where its line ends. */
function lastEvent(fd: number): { bytes: number; seq: number; step: number } {
  let end = fstatSync(fd).size;
  let tail: Buffer = Buffer.alloc(0);
  for (let start = end; ; ) {
    // `tail` holds the bytes from `start` to `end`.
    const newline = tail.lastIndexOf(NEWLINE, -2);
    if (newline !== -1 || start === 0) {
      const event = tail.at(-1) === NEWLINE ? parseEvent(tail.toString('utf8', newline + 1)) : undefined;
      if (event) return { bytes: end, seq: event.seq, step: event.step };
      if (newline === -1) return { bytes: 0, seq: 0, step: 0 };
      // Half a line, or one that a power cut turned into zeros.
      tail = tail.subarray(0, newline + 1);
      end = start + newline + 1;
      continue;
    }
    const from = Math.max(0, start - PIECE_BYTES);
    const piece = Buffer.alloc(start - from);
    readSync(fd, piece, 0, piece.length, from);
    tail = Buffer.concat([piece, tail]);
    start = from;
  }
}

/**
 * The events of a run behind `fromSeq`, the last one that the caller has seen (0: all of them). A line that is half
 * written is not there yet.
 * @throws TuneyardError `run_not_found` where there are no events
 */
export async function* readEvents(dir: string, fromSeq = 0): AsyncGenerator<RunEvent> {
  const path = join(dir, EVENTS_FILE);
  const reader = new EventReader(path, fromSeq);
  if (!(yield* reader.rest())) {
    throw new TuneyardError('run_not_found', 'there are no events here; give the directory of a run.', {
      place: { file: path },
    });
  }
}

/**
 * As {@link readEvents}, and then whatever is appended, also where nothing was written yet, until the signal is
 * aborted; then it returns. It goes on behind an `end` event, since a run may be resumed.
 */
export async function* followEvents(dir: string, fromSeq: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
  const reader = new EventReader(join(dir, EVENTS_FILE), fromSeq);
  while (!signal.aborted) {
    for await (const event of reader.rest()) {
      yield event;
      if (signal.aborted) return;
    }
    // Asked for, not notified: file systems over a network notify nobody.
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Reads a file of events piece by piece, as it grows. */
export class EventReader {
  /** Behind the last whole line that was read. */
  #offset = 0;

  constructor(
    private readonly path: string,
    private seq: number,
  ) {}

  /** What came since the last call. @returns false where there is no file */
  async *rest(): AsyncGenerator<RunEvent, boolean> {
    const file = await open(this.path).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (!file) return false;
    try {
      // Lines that were cut off because a power cut had spoilt them: begin anew, numbers tell what was seen.
      if ((await file.stat()).size < this.#offset) this.#offset = 0;
      let rest: Buffer = Buffer.alloc(0);
      for (;;) {
        const piece = Buffer.alloc(PIECE_BYTES);
        const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, this.#offset + rest.length);
        if (bytesRead === 0) return true;
        rest = Buffer.concat([rest, piece.subarray(0, bytesRead)]);
        for (let end = rest.indexOf(NEWLINE); end !== -1; end = rest.indexOf(NEWLINE)) {
          const event = parseEvent(rest.toString('utf8', 0, end));
          rest = rest.subarray(end + 1);
          this.#offset += end + 1;
          if (!event || event.seq <= this.seq) continue;
          this.seq = event.seq;
          yield event;
        }
      }
    } finally {
      await file.close();
    }
  }
}

function parseEvent(line: string): RunEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const isEvent = typeof value === 'object' && value !== null && 'type' in value && 'seq' in value;
    return isEvent && Number.isSafeInteger(value.seq) ? (value as RunEvent) : undefined;
  } catch {
    return undefined;
  }
}
