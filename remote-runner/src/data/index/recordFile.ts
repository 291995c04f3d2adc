/** Rows of a text format (JSON Lines, JSON, CSV, TSV, plain text), found through an index and parsed when they are looked at. */
import { TuneyardError } from '@protocol/errors';
import { MOST_ROW_BYTES, tooLarge } from '../readers/lines';
import type { IndexPiece } from './buildIndex';
import type { ByteSource } from './byteSource';
import { createScanner } from './createScanner';
import { type RecordParser, recordParser } from './parseRecord';
import { type IndexMark, RowIndex } from './rowIndex';
import type { RecordFileOptions, RowSource, SourceRow, SourceSpec } from './rowSource';
import { FILE_START, type ScannerKind } from './scanner';

const FIRST_PIECE = 64 << 10;
const LARGEST_PIECE = 4 << 20;
/** How far a row is looked for where the index has not come yet. */
const MOST_AHEAD = 64 << 20;
const RAW_CHARACTERS = 2_000;

/** A record's bytes, or only that it is too large to be shown. */
interface FoundRecord {
  row: number;
  line: number;
  endLine: number;
  bytes?: Buffer;
}

export class RecordFile implements RowSource {
  readonly path: string;
  readonly format: string;
  readonly key: string;
  readonly bytes: number;
  readonly whole: Promise<void>;
  readonly #index = new RowIndex();
  readonly #parse: RecordParser;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  #settle: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(
    private readonly source: ByteSource,
    private readonly options: RecordFileOptions,
  ) {
    this.path = options.path;
    this.format = options.format;
    this.key = options.key;
    this.bytes = source.size;
    this.#parse = recordParser(options.kind, options.path, options.header ?? []);
    this.whole = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.whole.catch(() => {});
  }

  /** Aborted when the file is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get rows(): number {
    return this.#index.rows;
  }
  get indexed(): number {
    return this.#index.bytes;
  }
  get done(): boolean {
    return this.#index.done;
  }
  get problem(): TuneyardError | undefined {
    const { problem } = this.#index;
    if (!problem) return undefined;
    return new TuneyardError('dataset_invalid', `${problem.what}; rows from here on cannot be read.`, {
      place: { file: this.path, line: problem.line },
    });
  }

  onProgress(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** What the one who goes through the file has found. */
  take(piece: IndexPiece): void {
    const index = this.#index;
    index.add(piece.marks);
    for (const start of piece.endless) index.endless.add(start);
    index.rows = piece.rows;
    index.bytes = piece.bytes;
    index.problem = piece.problem;
    index.done = piece.done;
    if (piece.done) this.#settle?.resolve();
    for (const listener of this.#listeners) listener();
  }

  /** No more pieces will come. */
  fail(error: unknown): void {
    this.#settle?.reject(error);
  }

  spec(): SourceSpec {
    const { text } = this.source;
    return { kind: 'records', options: this.options, index: this.toPiece(), ...(text === undefined ? {} : { text }) };
  }

  /** The index as one piece, for the cache. */
  toPiece(): IndexPiece {
    const { rows, bytes, problem, endless } = this.#index;
    return { rows, bytes, marks: this.#index.all(), done: true, endless: [...endless], ...(problem && { problem }) };
  }

  async read(from: number, count: number, signal?: AbortSignal): Promise<SourceRow[]> {
    const rows: SourceRow[] = [];
    if (count <= 0 || (this.done && from >= this.rows)) return rows;
    await this.#scan(
      this.#index.before(from),
      (found) => {
        if (found.row >= from) rows.push(this.#toRow(found));
        return rows.length < count;
      },
      from,
      signal,
    );
    return rows;
  }

  /** Whether rows are elements of an array, with commas between them. */
  get isArray(): boolean {
    return this.options.kind === 'json';
  }

  get isText(): boolean {
    return this.options.kind === 'paragraphs';
  }

  /** The header line as it stands in the file; undefined where there is none. */
  async headerBytes(): Promise<Buffer | undefined> {
    if (!this.options.header) return undefined;
    let header: Buffer | undefined;
    await this.#scan(
      undefined,
      (found) => {
        header ??= found.bytes;
        return false;
      },
      -1,
    );
    return header;
  }

  /** Every row's bytes as they stand in the file. @throws TuneyardError `dataset_invalid` for one that is too large */
  async *records(signal?: AbortSignal): AsyncGenerator<{ row: number; bytes: Buffer }> {
    const MANY = 500;
    for (let from = 0; from < this.rows; ) {
      const found: FoundRecord[] = [];
      await this.#scan(
        this.#index.before(from),
        (one) => {
          if (one.row >= from) found.push(one);
          return found.length < MANY;
        },
        from,
        signal,
      );
      if (found.length === 0) return;
      for (const one of found) {
        const { error } = one.bytes ? { error: undefined } : this.#toRow(one);
        if (error) throw error;
        yield { row: one.row, bytes: one.bytes! };
      }
      from += found.length;
    }
  }

  async rowAtLine(line: number, signal?: AbortSignal): Promise<number | undefined> {
    let row: number | undefined;
    await this.#scan(
      this.#index.beforeLine(line),
      (found) => {
        if (found.endLine < line) return true;
        row = found.row;
        return false;
      },
      Number.POSITIVE_INFINITY,
      signal,
    );
    return row;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#settle?.reject(new TuneyardError('cancelled', 'cancelled.'));
    this.#listeners.clear();
    await this.source.close();
  }

  #toRow({ row, line, endLine, bytes }: FoundRecord): SourceRow {
    const at = { row, line, endLine, bytes: bytes?.length ?? MOST_ROW_BYTES };
    if (!bytes) return { ...at, raw: '', error: tooLarge(this.path, line) };
    const raw = bytes.toString('utf8', 0, Math.min(bytes.length, RAW_CHARACTERS));
    try {
      return { ...at, raw, values: this.#parse(bytes, line) };
    } catch (error) {
      if (error instanceof TuneyardError) return { ...at, raw, error };
      const why = error instanceof Error ? error.message : String(error);
      const what = `this row cannot be read (${why.replace(/\.$/, '')}).`;
      return {
        ...at,
        raw,
        error: new TuneyardError('dataset_invalid', what, { place: { file: this.path, line }, cause: error }),
      };
    }
  }

  /** Goes through the records from a mark on, until `see` has seen enough. Bytes come only with those from row `from` on. */
  async #scan(
    mark: IndexMark | undefined,
    see: (found: FoundRecord) => boolean,
    from: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { kind, header } = this.options;
    let start: IndexMark = mark ?? { row: header ? -1 : 0, ...FILE_START };
    for (;;) {
      const next = await this.#scanFrom(start, kind, see, from, signal);
      if (next === undefined) return;
      const jump = this.#index.before(next);
      // Behind a row that is too large there is always a mark, once the index has come there.
      if (jump?.row !== next) return;
      start = jump;
    }
  }

  /** @returns the row to go on from, behind one that is too large; undefined: enough was seen, or there is no more */
  async #scanFrom(
    start: IndexMark,
    kind: ScannerKind,
    see: (found: FoundRecord) => boolean,
    from: number,
    signal?: AbortSignal,
  ): Promise<number | undefined> {
    const { source } = this;
    let { row } = start;
    let isEnough = false;
    /** The bytes from `base` on that may still be needed. */
    let kept: Buffer = Buffer.alloc(0);
    let base = start.offset;
    let lastEnd = start.offset;
    let lastLine = start.line;
    const emit = (from_: number, end: number, line: number, endLine: number) => {
      const mine = row++;
      lastEnd = end;
      lastLine = endLine + 1;
      if (isEnough || mine < Math.min(0, from)) return;
      const isWanted = (mine >= from || from === Number.POSITIVE_INFINITY) && end - from_ <= MOST_ROW_BYTES;
      const bytes = isWanted ? kept.subarray(from_ - base, end - base) : undefined;
      isEnough = !see({ row: mine, line, endLine, ...(bytes && { bytes }) });
    };
    const scanner = createScanner(kind, start, emit, this.#index.endless);
    let size = FIRST_PIECE;
    for (let offset = start.offset; offset < source.size; ) {
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
      const piece = await source.read(offset, size);
      kept = kept.length === 0 ? piece : Buffer.concat([kept, piece]);
      offset += piece.length;
      scanner.push(piece);
      if (isEnough || scanner.problem) return undefined;
      const done = Math.max(0, lastEnd - base);
      kept = kept.subarray(done);
      base += done;
      if (kept.length > MOST_ROW_BYTES) {
        const mark = this.#index.before(row);
        const line = mark?.row === row ? mark.line : lastLine;
        const after = this.#index.before(row + 1);
        const endLine = after?.row === row + 1 ? after.line - 1 : line;
        if (row >= from || from === Number.POSITIVE_INFINITY) {
          if (!see({ row, line, endLine: Math.max(line, endLine) })) return undefined;
        }
        return row + 1;
      }
      if (!this.done && row < from && offset - start.offset > MOST_AHEAD) return undefined;
      size = Math.min(LARGEST_PIECE, 2 * size);
    }
    scanner.finish();
    return undefined;
  }
}
