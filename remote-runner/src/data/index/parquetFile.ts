/** Rows of a Parquet file, of which no more is decoded than is looked at: its footer says where the rows are. */
import { TuneyardError } from '@protocol/errors';
import { type AsyncBuffer, type FileMetaData, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { openParquet, orInvalid } from '../readers/parquet';
import type { ByteSource } from './byteSource';
import type { RowSource, SourceRow, SourceSpec } from './rowSource';

/** Rows decoded at a time: neighbours of those that are asked for are likely next. */
const BLOCK = 256;
const KEPT_BLOCKS = 8;

export class ParquetFile implements RowSource {
  readonly format = 'Parquet';
  readonly done = true;
  readonly problem = undefined;
  readonly whole = Promise.resolve();
  readonly bytes: number;
  readonly rows: number;
  readonly #blocks = new Map<number, Promise<Record<string, unknown>[]>>();

  private constructor(
    readonly path: string,
    readonly key: string,
    private readonly source: ByteSource,
    private readonly metadata: FileMetaData,
  ) {
    this.bytes = source.size;
    this.rows = Number(metadata.num_rows);
  }

  /** @throws TuneyardError `dataset_invalid` */
  static async open(path: string, key: string, source: ByteSource): Promise<ParquetFile> {
    return new ParquetFile(path, key, source, await openParquet(path, slices(source)));
  }

  get indexed(): number {
    return this.bytes;
  }

  spec(): SourceSpec {
    return { kind: 'parquet', path: this.path, key: this.key };
  }

  onProgress(): void {}

  async read(from: number, count: number, signal?: AbortSignal): Promise<SourceRow[]> {
    const rows: SourceRow[] = [];
    const end = Math.min(this.rows, from + count);
    if (count > 4 * BLOCK) {
      // Whoever goes through all of it wants no page decoded twice.
      const values = await this.#decode(from, end);
      return values.map((one, i) => toRow(from + i, one));
    }
    for (let row = from; row < end; row++) {
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
      const block = await this.#block(Math.floor(row / BLOCK));
      rows.push(toRow(row, block[row % BLOCK] ?? {}));
    }
    return rows;
  }

  async rowAtLine(line: number): Promise<number | undefined> {
    return line >= 1 && line <= this.rows ? line - 1 : undefined;
  }

  close(): Promise<void> {
    return this.source.close();
  }

  #block(number: number): Promise<Record<string, unknown>[]> {
    const known = this.#blocks.get(number);
    if (known) return known;
    const rowStart = number * BLOCK;
    const rowEnd = Math.min(this.rows, rowStart + BLOCK);
    const block = this.#decode(rowStart, rowEnd);
    this.#blocks.set(number, block);
    block.catch(() => this.#blocks.delete(number));
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size > KEPT_BLOCKS && oldest !== undefined) this.#blocks.delete(oldest);
    return block;
  }

  #decode(rowStart: number, rowEnd: number): Promise<Record<string, unknown>[]> {
    const file = slices(this.source);
    const { metadata } = this;
    return orInvalid(this.path, () =>
      parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd, useOffsetIndex: true }),
    );
  }
}

function toRow(row: number, values: Record<string, unknown>): SourceRow {
  return { row, line: row + 1, endLine: row + 1, values, raw: '', bytes: sizeOf(values) };
}

/** Of its text, and of the text in its lists and objects. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  return Object.values(value).reduce((sum: number, one) => sum + sizeOf(one), 0);
}

/** As hyparquet reads files. */
function slices(source: ByteSource): AsyncBuffer {
  return {
    byteLength: source.size,
    slice: async (start: number, end = source.size): Promise<ArrayBuffer> => {
      const bytes = await source.read(start, end - start);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    },
  };
}
