/** Reads CSV and its kin with csv-parse, and finds the line of each record, which quoted line breaks shift. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TuneyardError } from '@protocol/errors';
import { CsvError, parse } from 'csv-parse';
import { readError, readLines } from './lines';
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
        for await (const { line, text, bytes } of readLines(path, signal)) {
          lineEnds.push((lineEnds.at(-1) ?? 0) + bytes);
          if (text.trim() === '') blankLines.add(line);
          yield text;
        }
      }
      const parser = parse({
        delimiter,
        info: true,
        raw: true,
        skip_empty_lines: true,
        // csv-parse would take the first line's ending for all of them.
        record_delimiter: ['\r\n', '\n'],
        // Uneven rows are told below, where their line is known.
        relax_column_count: true,
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
          if (record.length !== header.length) {
            const what = `this row has ${record.length} fields where the header has ${header.length}; put text with separators in "quotes".`;
            throw new TuneyardError('dataset_invalid', what, { place: { file: path, line } });
          }
          yield { line, values: Object.fromEntries(header.map((column, i) => [column, record[i]])) };
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
    case 'CSV_QUOTE_NOT_CLOSED':
      return fail('a quote that opens here, or in the lines after, is never closed.');
    case 'INVALID_OPENING_QUOTE':
    case 'CSV_INVALID_CLOSING_QUOTE':
      return fail('a quote stands in the middle of a field; put the whole field in "quotes" and write "" for a quote.');
    default:
      return fail(`the row cannot be read (${error.message.replace(/\.$/, '')}).`);
  }
}
