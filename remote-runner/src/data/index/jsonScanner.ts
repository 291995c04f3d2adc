/**
 * Rows of a JSON file: the elements of its array, or of the only array in its object. Brackets and strings are followed;
 * whether an element is valid JSON is found when it is parsed.
 */
import type { EmitRecord, Scanner, ScanStart } from './scanner';

const LF = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export class JsonScanner implements Scanner {
  problem: { what: string; line: number } | undefined;
  private offset: number;
  private line: number;
  private depth = 0;
  private inString = false;
  private escaped = false;
  /** Depth of the rows: 1 in an array, 2 in an object's array; 0: not known yet. */
  private rowDepth = 0;
  /** Between the array's brackets. */
  private inRows = false;
  private ended = false;
  private arrays = 0;
  /** Of the row that has begun; −1: none has. */
  private start = -1;
  private startLine = 0;
  /** A number, `true` or the like: ends before the next mark. */
  private isBare = false;
  private commaSeen = true;
  private first: number = 0;

  constructor(
    start: ScanStart,
    private readonly emit: EmitRecord,
  ) {
    this.offset = start.offset;
    this.line = start.line;
    if (start.offset > 0) {
      // At a row's first byte. How deep the array lies makes no difference any more.
      this.rowDepth = 1;
      this.depth = 1;
      this.inRows = true;
      this.first = OPEN_ARRAY;
    }
  }

  /** Where a row has begun that has not ended. */
  get openRow(): number | undefined {
    return this.start < 0 ? undefined : this.start;
  }

  get openLine(): number {
    return this.startLine;
  }

  push(bytes: Buffer): void {
    const { offset } = this;
    for (let at = 0; at < bytes.length && !this.problem; at++) {
      const byte = bytes[at]!;
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (byte === BACKSLASH) this.escaped = true;
        else if (byte === QUOTE) {
          this.inString = false;
          if (this.start >= 0 && this.depth === this.rowDepth && !this.isBare) this.endRow(offset + at + 1);
        } else if (byte === LF) this.line++;
        continue;
      }
      this.see(byte, offset + at);
    }
    this.offset = offset + bytes.length;
  }

  finish(): void {
    if (this.problem || this.ended) return;
    if (this.start >= 0 && this.inRows && this.depth === this.rowDepth && this.isBare) this.endRow(this.offset);
    if (this.first === 0) return;
    this.fail(this.inString ? 'a string is never closed' : 'the file ends in the middle');
  }

  private see(byte: number, at: number): void {
    if (byte <= 0x20 || (byte >= 0xbb && this.depth === 0 && at < 3)) {
      if (this.isBare) this.endRow(at);
      if (byte === LF) this.line++;
      return;
    }
    if (this.ended) {
      if (this.depth === 0) this.fail('something stands behind the end');
      return;
    }
    if (this.first === 0) this.begin(byte);
    else if (this.inRows && this.depth === this.rowDepth) this.seeInRows(byte, at);
    else this.seeElsewhere(byte, at);
  }

  /** The file's first byte that is not blank. */
  private begin(byte: number): void {
    this.first = byte;
    this.depth = 1;
    if (byte === OPEN_ARRAY) {
      this.rowDepth = 1;
      this.inRows = true;
    } else if (byte === OPEN_OBJECT) {
      this.rowDepth = 2;
    } else {
      this.fail(
        'the file must hold an array of objects, like [{"text": "…"}], or an object with exactly one such array',
      );
    }
  }

  /** Between rows, or in one without brackets. */
  private seeInRows(byte: number, at: number): void {
    if (byte === COMMA) {
      if (this.isBare) this.endRow(at);
      if (this.commaSeen) this.fail('value expected');
      this.commaSeen = true;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      if (this.isBare) this.endRow(at);
      this.inRows = false;
      this.depth--;
      // A scanner that began in the middle does not know how deep the array lies.
      if (this.depth === 0) this.ended = true;
    } else if (!this.isBare) {
      if (!this.commaSeen) {
        this.fail('comma expected');
        return;
      }
      this.commaSeen = false;
      this.start = at;
      this.startLine = this.line;
      if (byte === QUOTE) this.inString = true;
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.depth++;
      else this.isBare = true;
    }
  }

  /** Within a row, or outside the array of an object. */
  private seeElsewhere(byte: number, at: number): void {
    if (byte === QUOTE) this.inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      this.depth++;
      if (this.start >= 0 || this.depth !== this.rowDepth || byte !== OPEN_ARRAY) return;
      if (++this.arrays > 1) {
        this.fail('the file holds two arrays, and there is no telling which one has the rows');
        return;
      }
      this.inRows = true;
      this.commaSeen = true;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      this.depth--;
      if (this.start >= 0 && this.depth === this.rowDepth) this.endRow(at + 1);
      if (this.depth === 0) this.ended = true;
    }
  }

  private endRow(end: number): void {
    this.emit(this.start, end, this.startLine, this.line);
    this.start = -1;
    this.isBare = false;
  }

  private fail(what: string): void {
    this.problem = { what, line: this.line };
  }
}
