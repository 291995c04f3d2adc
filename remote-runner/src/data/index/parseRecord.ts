/** From a row's bytes to its columns, with the same functions that read a whole file. */
import { TuneyardError } from '@protocol/errors';
import { parseJsonRow } from '../readers/jsonl';
import { decodeLines } from '../readers/lines';
import { parseHeader, parseRecordText } from '../readers/separated';
import { joinParagraph } from '../readers/text';
import type { ScannerKind } from './scanner';

export type RecordParser = (bytes: Buffer, line: number) => Record<string, unknown>;

/** A file's header line. @throws TuneyardError `dataset_invalid` */
export function readHeader(kind: 'csv' | 'tsv', bytes: Buffer, line: number, file: string): string[] {
  return parseHeader(decodeLines(bytes, line, file), DELIMITERS[kind], file, line);
}

const DELIMITERS = { csv: ',', tsv: '\t' } as const;

/** @throws (the parser) TuneyardError `dataset_invalid`, `encoding_invalid` with the line */
export function recordParser(kind: ScannerKind, file: string, header: readonly string[]): RecordParser {
  switch (kind) {
    case 'lines':
      return (bytes, line) => parseJsonRow(decodeLines(bytes, line, file), file, line);
    case 'json':
      return (bytes, line) => parseJsonRow(decodeLines(bytes, line, file), file, line, 'element');
    case 'paragraphs':
      return (bytes, line) => ({ text: joinParagraph(decodeLines(bytes, line, file)) });
    case 'csv':
    case 'tsv':
      return (bytes, line) => parseRecordText(decodeLines(bytes, line, file), DELIMITERS[kind], header, file, line);
    default:
      throw new TuneyardError('internal', `no parser for ${String(kind)}.`);
  }
}
