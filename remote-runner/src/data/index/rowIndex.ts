/**
 * Where some of a file's rows begin: one in 64, or sooner where rows are large. From there a scanner finds the others. Ten million
 * rows take 4 MB.
 */
import type { ScanStart } from './scanner';

/** Rows and bytes between two marks, at most and at least. */
const ROWS_APART = 64;
const BYTES_APART = 256 << 10;

export interface IndexMark extends ScanStart {
  row: number;
}

/** Marks as they cross threads and lie in the cache: row, offset, line, row, … */
export type Marks = Float64Array;

export class RowIndex {
  /** Rows found so far. */
  rows = 0;
  /** Bytes looked at so far. */
  bytes = 0;
  done = false;
  /** Why there are no rows behind these. */
  problem: { what: string; line: number } | undefined;
  /** Where rows begin that never end. */
  readonly endless = new Set<number>();
  private marks = new Float64Array(3 * 1024);
  private count = 0;

  /** The last mark that is not behind this row; undefined: begin with the file. */
  before(row: number): IndexMark | undefined {
    return this.last((at) => this.marks[at]! <= row);
  }

  beforeLine(line: number): IndexMark | undefined {
    return this.last((at) => this.marks[at + 2]! <= line);
  }

  add(marks: Marks): void {
    while (3 * this.count + marks.length > this.marks.length) {
      const more = new Float64Array(2 * this.marks.length);
      more.set(this.marks);
      this.marks = more;
    }
    this.marks.set(marks, 3 * this.count);
    this.count += marks.length / 3;
  }

  all(): Marks {
    return this.marks.slice(0, 3 * this.count);
  }

  private last(isBefore: (at: number) => boolean): IndexMark | undefined {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(3 * middle)) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const at = 3 * (low - 1);
    return { row: this.marks[at]!, offset: this.marks[at + 1]!, line: this.marks[at + 2]! };
  }
}

/** Collects marks from rows in their order. */
export class MarkMaker {
  rows = 0;
  private marks: number[] = [];
  private lastRow = Number.NEGATIVE_INFINITY;
  private lastOffset = Number.NEGATIVE_INFINITY;

  see(start: number, line: number): void {
    const row = this.rows++;
    if (row - this.lastRow < ROWS_APART && start - this.lastOffset < BYTES_APART) return;
    this.marks.push(row, start, line);
    this.lastRow = row;
    this.lastOffset = start;
  }

  /** Those since the last call. */
  take(): Marks {
    const marks = Float64Array.from(this.marks);
    this.marks = [];
    return marks;
  }
}
