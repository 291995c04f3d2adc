/** A file whose rows can be read from any place. */
import type { TuneyardError } from '@protocol/errors';
import type { IndexPiece } from './buildIndex';
import type { ScannerKind } from './scanner';

export interface SourceRow {
  /** From 0. */
  row: number;
  /** 1-based; for Parquet the row's number. */
  line: number;
  endLine: number;
  /** Absent where the row cannot be read: then `error` says why. */
  values?: Record<string, unknown>;
  error?: TuneyardError;
  /** What stands there, or its first part. */
  raw: string;
  /** All of it; for Parquet about. */
  bytes: number;
}

export interface RowSource {
  /** Absolute. */
  readonly path: string;
  /** The file format as a person calls it. */
  readonly format: string;
  readonly bytes: number;
  /** Changes whenever the file's content may have. */
  readonly key: string;
  /** Rows known so far; all, once `done`. */
  readonly rows: number;
  /** Bytes that the index has come through. */
  readonly indexed: number;
  readonly done: boolean;
  /** Why rows behind these cannot be told apart. */
  readonly problem: TuneyardError | undefined;
  /** Settles when the index is complete. @throws TuneyardError what reading throws; `cancelled` */
  readonly whole: Promise<void>;
  /** Up to `count` rows; fewer at the end, and where the index has not come so far. */
  read(from: number, count: number, signal?: AbortSignal): Promise<SourceRow[]>;
  /** The row on a line, or the one that begins next. */
  rowAtLine(line: number, signal?: AbortSignal): Promise<number | undefined>;
  /** For another thread to open it; only once it is whole. */
  spec(): SourceSpec;
  onProgress(listener: () => void): void;
  close(): Promise<void>;
}

export interface RecordFileOptions {
  path: string;
  format: string;
  kind: ScannerKind;
  key: string;
  /** Column names of a file with a header line. */
  header?: readonly string[];
}

/** A file that is open in one thread, for another to open without looking for its rows again. */
export type SourceSpec =
  | { kind: 'parquet'; path: string; key: string }
  | { kind: 'records'; options: RecordFileOptions; index: IndexPiece; text?: string };
