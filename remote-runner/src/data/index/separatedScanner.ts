/** Rows of CSV and TSV: a line break in quotes belongs to the row. The same rules as csv-parse's, whose faults are found when a row is parsed. */
import type { EmitRecord, Scanner, ScanStart } from './scanner';

const LF = 0x0a;
const CR = 0x0d;
const QUOTE = 0x22;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

const FIELD_START = 0;
const PLAIN = 1;
const QUOTED = 2;
/** Behind a quote within quotes: it ends the field, or is the first of two that stand for one. */
const QUOTE_SEEN = 3;

export class SeparatedScanner implements Scanner {
  private offset: number;
  private line: number;
  private recordStart: number;
  private recordLine: number;
  private state = FIELD_START;
  /** Whether nothing of the row was seen but carriage returns. */
  private isEmpty = true;
  private returns = 0;
  private firstLineEnd = -1;
  private hasMark = false;

  constructor(
    private readonly delimiter: number,
    start: ScanStart,
    private readonly emit: EmitRecord,
    private readonly known: ReadonlySet<number>,
  ) {
    this.offset = start.offset;
    this.recordStart = start.offset;
    this.line = start.line;
    this.recordLine = start.line;
  }

  get endless(): { start: number; line: number; firstLineEnd: number } | undefined {
    const { state, recordStart: start, recordLine: line, firstLineEnd } = this;
    return state === QUOTED && firstLineEnd >= 0 ? { start, line, firstLineEnd } : undefined;
  }

  push(bytes: Buffer): void {
    const { length } = bytes;
    const { delimiter, offset } = this;
    let { state } = this;
    let at = 0;
    // A byte order mark is no part of the first field.
    while (offset + at < 3 && bytes[at] === BYTE_ORDER_MARK[offset + at] && (offset + at === 0 || this.hasMark)) {
      this.hasMark = true;
      at++;
    }
    for (; at < length; at++) {
      const byte = bytes[at]!;
      if (byte === LF) {
        const end = offset + at + 1;
        if (state === QUOTED && !this.known.has(this.recordStart)) {
          if (this.firstLineEnd < 0) this.firstLineEnd = end;
          this.line++;
          continue;
        }
        this.endRecord(end);
        this.line++;
        this.recordLine = this.line;
        state = FIELD_START;
      } else if (state === QUOTED) {
        if (byte === QUOTE) state = QUOTE_SEEN;
      } else if (byte === delimiter) {
        state = FIELD_START;
        this.isEmpty = false;
      } else if (byte === QUOTE && state !== PLAIN) {
        state = QUOTED;
        this.isEmpty = false;
      } else if (byte !== CR) {
        state = PLAIN;
        this.isEmpty = false;
      } else {
        this.returns++;
        // What follows a carriage return that ends no line is no start of a field.
        if (state === FIELD_START) state = PLAIN;
      }
    }
    this.state = state;
    this.offset = offset + length;
  }

  finish(): void {
    if (this.endless || this.recordStart >= this.offset) return;
    // Without a line feed behind it a carriage return is what the row holds.
    if (this.state === QUOTED || this.returns > 0) this.isEmpty = false;
    this.endRecord(this.offset);
  }

  private endRecord(end: number): void {
    if (!this.isEmpty || this.returns > 1) this.emit(this.recordStart, end, this.recordLine, this.line);
    this.recordStart = end;
    this.isEmpty = true;
    this.returns = 0;
    this.firstLineEnd = -1;
  }
}
