/** This machine's own copy of the events of runs elsewhere: what was seen once need not be fetched again. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { type RunRef, runKey } from './runs';

/** All copies together; the ones that were not looked at for longest go first. */
const MAX_BYTES = 512e6;

export class EventMirror {
  #queue: Promise<void> = Promise.resolve();
  #bytes: number | undefined;

  constructor(private readonly folder: string) {}

  /** The events that are there, from the first, without a gap. What is spoilt is cut off. */
  async read(ref: RunRef): Promise<RunEvent[]> {
    await this.#queue;
    const path = this.#path(ref);
    const text = await readFile(path, 'utf8').catch(() => '');
    const events: RunEvent[] = [];
    let good = 0;
    for (let start = 0; ; ) {
      const end = text.indexOf('\n', start);
      const event = end < 0 ? undefined : parse(text.slice(start, end));
      if (event?.seq !== events.length + 1) break;
      events.push(event);
      start = end + 1;
      good = start;
    }
    if (good < text.length) await truncate(path, Buffer.byteLength(text.slice(0, good))).catch(() => undefined);
    return events;
  }

  /** Appends; a disk that is full costs the copy, not the person. */
  append(ref: RunRef, events: readonly RunEvent[]): void {
    const text = events.map((event) => `${JSON.stringify(event)}\n`).join('');
    this.#then(async () => {
      await mkdir(this.folder, { recursive: true });
      await appendFile(this.#path(ref), text);
      this.#bytes = (this.#bytes ?? (await this.#total())) + text.length;
      if (this.#bytes > MAX_BYTES) await this.#shrink(this.#path(ref));
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
      if (bytes <= MAX_BYTES / 2) break;
      if (file.path === keep) continue;
      await rm(file.path, { force: true });
      bytes -= file.bytes;
    }
    this.#bytes = bytes;
  }
}

function parse(line: string): RunEvent | undefined {
  try {
    return JSON.parse(line) as RunEvent;
  } catch {
    return undefined;
  }
}
