/** Reads CSV and its kin with csv-parse, and finds the line of each record, which quoted line breaks shift. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import { CsvError, type Options, parse } from 'csv-parse';
import { parse as parseSync } from 'csv-parse/sync';
import { MOST_ROW_BYTES, readError, readLines } from './lines';
import type { Reader } from './reader';

interface ParsedRecord {
  record: string[];
  info: { bytes: number };
  raw: string;
}

/**
 * A reader for records of text with one character between fields.
 *
 * @throws (while reading) TuneyardError `dataset_invalid` with the line for an uneven row, a stray or open quote, or a
 *   header that names a column twice or not at all
 */
export function separatedReader(name: string, extensions: readonly string[], delimiter: string): Reader {
  return {
    name,
    extensions,
    async *read(path, { signal }) {
      /** lineEnds[i]: bytes up to the end of line i + 1. */
      const lineEnds: number[] = [];
      const blankLines = new Set<number>();
      /** Last line of the last record parsed, which may be far ahead of the one that came out last. */
      let parsedLine = 0;
      async function* source() {
        for await (const { line, text, bytes } of readLines(path, signal, MOST_ROW_BYTES)) {
          lineEnds.push((lineEnds.at(-1) ?? 0) + bytes);
          if (text.trim() === '') blankLines.add(line);
          yield text;
        }
      }
      const parser = parse({
        ...RULES,
        delimiter,
        info: true,
        raw: true,
        on_record: (record, { bytes }) => {
          parsedLine = lineOf(lineEnds, bytes);
          return record;
        },
      });
      // A failing source destroys the parser with its error, which the loop below then meets.
      const feeding = pipeline(Readable.from(source()), parser).catch(() => {});
      let header: string[] | undefined;
      try {
        for await (const { record, info, raw } of parser as AsyncIterable<ParsedRecord>) {
          const endLine = lineOf(lineEnds, info.bytes);
          const line = endLine - (raw.trim().match(/\n/g)?.length ?? 0);
          if (!header) {
            header = checkHeader(record, path, line);
            continue;
          }
          yield { line, values: fieldsOf(record, header, path, line) };
        }
      } catch (error) {
        if (error instanceof CsvError) {
          let line = parsedLine + 1;
          while (blankLines.has(line)) line++;
          throw explain(error, path, line);
        }
        throw readError(error, path);
      } finally {
        parser.destroy();
        await feeding;
      }
    },
  };
}

/** What a record is, however it is read. */
const RULES = {
  skip_empty_lines: true,
  // csv-parse would take the first line's ending for all of them.
  record_delimiter: ['\r\n', '\n'] as string[],
  max_record_size: MOST_ROW_BYTES,
  // Uneven rows are told where their line is known.
  relax_column_count: true,
} satisfies Options;

/** The columns of a header line. @throws TuneyardError `dataset_invalid` */
export function parseHeader(text: string, delimiter: string, file: string, line: number): string[] {
  return checkHeader(parseOne(text, delimiter, file, line), file, line);
}

/** A row's columns from the text of its record. @throws TuneyardError `dataset_invalid` with the line */
export function parseRecordText(
  text: string,
  delimiter: string,
  header: readonly string[],
  file: string,
  line: number,
): Record<string, unknown> {
  return fieldsOf(parseOne(text, delimiter, file, line), header, file, line);
}

function parseOne(text: string, delimiter: string, file: string, line: number): string[] {
  try {
    return (parseSync(text, { ...RULES, delimiter }) as string[][])[0] ?? [];
  } catch (error) {
    if (error instanceof CsvError) throw explain(error, file, line);
    throw error;
  }
}

function fieldsOf(
  record: readonly string[],
  header: readonly string[],
  file: string,
  line: number,
): Record<string, unknown> {
  if (record.length === header.length) return Object.fromEntries(header.map((column, i) => [column, record[i]]));
  const what = `this row has ${record.length} fields where the header has ${header.length}; put text with separators in "quotes".`;
  throw new TuneyardError('dataset_invalid', what, { place: { file, line } });
}

/** The 1-based line that holds the last of the first `bytes` bytes. */
function lineOf(lineEnds: number[], bytes: number): number {
  let low = 0;
  let high = lineEnds.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lineEnds[middle]! >= bytes) high = middle;
    else low = middle + 1;
  }
  return low + 1;
}

function checkHeader(header: string[], file: string, line: number): string[] {
  const columns = header.map((column) => column.trim());
  const twice = columns.find((column, i) => columns.indexOf(column) !== i);
  if (columns.includes('') || twice !== undefined) {
    const why = twice ? `names the column "${twice}" twice` : 'has a column without a name';
    throw new TuneyardError('dataset_invalid', `the header line ${why}; give each column a name of its own.`, {
      place: { file, line },
    });
  }
  return columns;
}

function explain(error: CsvError, file: string, line: number): TuneyardError {
  const place = { file, line };
  const fail = (what: string) => new TuneyardError('dataset_invalid', what, { place, cause: error });
  switch (error.code) {
    case 'CSV_MAX_RECORD_SIZE':
      return fail(
        `the row is larger than ${MOST_ROW_BYTES >> 20} MB; split it, or close the quote that it begins with.`,
      );
    case 'CSV_QUOTE_NOT_CLOSED':
      return fail('a quote that opens here, or in the lines after, is never closed.');
    case 'INVALID_OPENING_QUOTE':
    case 'CSV_INVALID_CLOSING_QUOTE':
      return fail('a quote stands in the middle of a field; put the whole field in "quotes" and write "" for a quote.');
    default:
      return fail(`the row cannot be read (${error.message.replace(/\.$/, '')}).`);
  }
}
