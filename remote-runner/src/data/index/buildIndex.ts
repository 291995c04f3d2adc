/** Goes once through a file and marks where its rows begin. */
import { TuneyardError } from '@protocol/errors';
import type { ByteSource } from './byteSource';
import { createScanner } from './createScanner';
import { MarkMaker, type Marks } from './rowIndex';
import { FILE_START, type Scanner, type ScannerKind, type ScanStart } from './scanner';

/** What is found, piece by piece. */
export interface IndexPiece {
  rows: number;
  bytes: number;
  marks: Marks;
  done: boolean;
  problem?: { what: string; line: number };
  /** Rows that never end, by where they begin. */
  endless: number[];
}

const PIECE_BYTES = 1 << 20;
/** At first often, so that what is near the beginning is known at once. */
const TELL_EVERY = 16;
/** A file with more quotes that are never closed than this is not one that has such quotes by mistake. */
const MOST_ENDLESS = 20;

/**
 * @param hasHeader the first record names the columns
 * @throws TuneyardError `cancelled`; what reading throws
 */
export async function buildIndex(
  source: ByteSource,
  { kind, hasHeader }: { kind: ScannerKind; hasHeader: boolean },
  tell: (piece: IndexPiece) => void,
  signal?: AbortSignal,
): Promise<void> {
  const marks = new MarkMaker();
  const endless: number[] = [];
  let isHeader = hasHeader;
  let problem: { what: string; line: number } | undefined;
  const emit = (start: number, _end: number, line: number) => {
    if (isHeader) isHeader = false;
    else marks.see(start, line);
  };
  let start: ScanStart | undefined = FILE_START;
  let pieces = 0;
  while (start) {
    const scanner: Scanner = createScanner(kind, start, emit, new Set(endless));
    for (let offset = start.offset; offset < source.size && !scanner.problem; offset += PIECE_BYTES) {
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
      scanner.push(await source.read(offset, PIECE_BYTES));
      if (++pieces === 1 || pieces % TELL_EVERY === 0) {
        const bytes = Math.min(source.size, offset + PIECE_BYTES);
        tell({ rows: marks.rows, bytes, marks: marks.take(), done: false, endless });
      }
    }
    scanner.finish();
    problem = scanner.problem;
    start = undefined;
    const { endless: open } = scanner;
    if (!open) continue;
    endless.push(open.start);
    if (endless.length > MOST_ENDLESS) {
      problem = { what: 'too many quotes are never closed', line: open.line };
    } else {
      emit(open.start, open.firstLineEnd, open.line);
      start = { offset: open.firstLineEnd, line: open.line + 1 };
    }
  }
  tell({ rows: marks.rows, bytes: source.size, marks: marks.take(), done: true, endless, ...(problem && { problem }) });
}
