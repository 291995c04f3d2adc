/** Rows that are lines (JSON Lines), or lines up to a blank one (plain text). */
import type { EmitRecord, Scanner, ScanStart } from './scanner';

const LF = 0x0a;

/** What `String.prototype.trim` takes away beyond ASCII, as UTF-8. */
const WIDE_BLANKS = new Set(
  [
    ...'\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff',
  ].map((char) => Buffer.from(char).toString('latin1')),
);

abstract class LinesScanner implements Scanner {
  private offset: number;
  private line: number;
  private lineStart: number;
  private isBlank = true;
  /** Bytes of a character that is not yet whole. */
  private wide = '';

  constructor(start: ScanStart) {
    this.offset = start.offset;
    this.lineStart = start.offset;
    this.line = start.line;
  }

  protected abstract endLine(start: number, end: number, line: number, isBlank: boolean): void;
  protected abstract end(): void;

  push(bytes: Buffer): void {
    const { length } = bytes;
    let at = 0;
    while (at < length) {
      if (this.isBlank) {
        const byte = bytes[at++]!;
        if (byte !== LF) this.see(byte);
        else this.finishLine(at);
        continue;
      }
      const end = bytes.indexOf(LF, at);
      if (end < 0) break;
      at = end + 1;
      this.finishLine(at);
    }
    this.offset += length;
  }

  finish(): void {
    if (this.offset > this.lineStart) this.finishLine(0);
    this.end();
  }

  private finishLine(at: number): void {
    const end = this.offset + at;
    // A character that breaks off is not blank: that the line is no UTF-8 is told when it is read.
    this.endLine(this.lineStart, end, this.line++, this.isBlank && this.wide === '');
    this.lineStart = end;
    this.isBlank = true;
    this.wide = '';
  }

  /** A byte of a line on which there was nothing yet. */
  private see(byte: number): void {
    if (byte < 0x80 && this.wide === '') {
      if (byte !== 0x20 && (byte < 0x09 || byte > 0x0d)) this.isBlank = false;
      return;
    }
    this.wide += String.fromCharCode(byte);
    const first = this.wide.charCodeAt(0);
    if (this.wide.length < (first >= 0xe0 ? 3 : 2)) return;
    if (WIDE_BLANKS.has(this.wide)) this.wide = '';
    else this.isBlank = false;
  }
}

export class LineScanner extends LinesScanner {
  constructor(
    start: ScanStart,
    private readonly emit: EmitRecord,
  ) {
    super(start);
  }

  protected override endLine(start: number, end: number, line: number, isBlank: boolean): void {
    if (!isBlank) this.emit(start, end, line, line);
  }

  protected override end(): void {}
}

export class ParagraphScanner extends LinesScanner {
  private from = -1;
  private to = 0;
  private firstLine = 0;
  private lastLine = 0;

  constructor(
    start: ScanStart,
    private readonly emit: EmitRecord,
  ) {
    super(start);
  }

  protected override endLine(start: number, end: number, line: number, isBlank: boolean): void {
    if (isBlank) {
      this.end();
      return;
    }
    if (this.from < 0) {
      this.from = start;
      this.firstLine = line;
    }
    this.to = end;
    this.lastLine = line;
  }

  protected override end(): void {
    if (this.from >= 0) this.emit(this.from, this.to, this.firstLine, this.lastLine);
    this.from = -1;
  }
}
