/** The scanner for a kind of file. A new one is a file beside this and a line here. */
import { JsonScanner } from './jsonScanner';
import { LineScanner, ParagraphScanner } from './lineScanner';
import type { EmitRecord, Scanner, ScannerKind, ScanStart } from './scanner';
import { SeparatedScanner } from './separatedScanner';

/** @param endless rows (by where they begin) that are known never to end: their first line is taken for the whole row */
export function createScanner(
  kind: ScannerKind,
  start: ScanStart,
  emit: EmitRecord,
  endless: ReadonlySet<number> = new Set(),
): Scanner {
  switch (kind) {
    case 'lines':
      return new LineScanner(start, emit);
    case 'paragraphs':
      return new ParagraphScanner(start, emit);
    case 'json':
      return new JsonScanner(start, emit);
    case 'csv':
      return new SeparatedScanner(0x2c, start, emit, endless);
    case 'tsv':
      return new SeparatedScanner(0x09, start, emit, endless);
  }
}
