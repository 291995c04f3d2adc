/**
 * Scanners find where the rows of a file begin and end, byte by byte and without parsing them, so that a file of any size is
 * indexed in seconds and read from its middle. At the beginning of a row a scanner has no memory: another one may go on there.
 */
/** A row's bytes `start` to `end` (behind its last), and the 1-based lines that it begins and ends on. */
export type EmitRecord = (start: number, end: number, line: number, endLine: number) => void;

export interface Scanner {
  /** The next bytes of the file. */
  push(bytes: Buffer): void;
  /** There are no more. */
  finish(): void;
  /** Why the rows behind the last one cannot be told apart, and where. */
  readonly problem?: { what: string; line: number } | undefined;
  /** A row that never ends (a quote that is not closed): where it begins, and where its first line ends. */
  readonly endless?: { start: number; line: number; firstLineEnd: number } | undefined;
}

/** `json`: an array of rows, or an object that holds one. */
export type ScannerKind = 'lines' | 'paragraphs' | 'json' | 'csv' | 'tsv';

/** Where a scanner begins: the file's first byte, or a row's. */
export interface ScanStart {
  offset: number;
  line: number;
}

export const FILE_START: ScanStart = { offset: 0, line: 1 };
