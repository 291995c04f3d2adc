/** A file on the hub, of which no more is fetched than is read; what was read lately is kept. */
import { TuneyardError } from '@protocol/errors';
import type { HubFile } from '../../hub/hubDataset';
import type { ByteSource } from './byteSource';

/** A request takes as long for a few bytes as for so many. */
const BLOCK = 1 << 20;
const MOST_BLOCKS = 64;

export class HubBytes implements ByteSource {
  readonly size: number;
  /** What lies at a commit does not change. */
  readonly mtimeMs = 1;
  readonly #blocks = new Map<number, Promise<Buffer>>();
  #isClosed = false;

  constructor(private readonly file: HubFile) {
    this.size = file.size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const end = Math.min(this.size, offset + length);
    if (end <= offset) return Buffer.alloc(0);
    if (this.#isClosed) throw new TuneyardError('cancelled', 'cancelled.');
    const first = Math.floor(offset / BLOCK);
    const last = Math.floor((end - 1) / BLOCK);
    if (last - first >= MOST_BLOCKS) return this.file.read(offset, end);
    this.#want(first, last);
    const blocks: Buffer[] = [];
    for (let at = first; at <= last; at++) blocks.push(await this.#blocks.get(at)!);
    while (this.#blocks.size > MOST_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    return Buffer.concat(blocks).subarray(offset - first * BLOCK, end - first * BLOCK);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#blocks.clear();
  }

  /** Neighbours that are missing come in one request. */
  #want(first: number, last: number): void {
    for (let at = first; at <= last; at++) {
      const known = this.#blocks.get(at);
      if (known) {
        // What is read again stays longest.
        this.#blocks.delete(at);
        this.#blocks.set(at, known);
        continue;
      }
      let end = at;
      while (end < last && !this.#blocks.has(end + 1)) end++;
      const from = at * BLOCK;
      const whole = this.file.read(from, Math.min(this.size, (end + 1) * BLOCK));
      for (let block = at; block <= end; block++) {
        const start = block * BLOCK - from;
        const part = whole.then((bytes) => bytes.subarray(start, start + BLOCK));
        this.#blocks.set(block, part);
        part.catch(() => this.#blocks.delete(block));
      }
      at = end;
    }
  }
}
