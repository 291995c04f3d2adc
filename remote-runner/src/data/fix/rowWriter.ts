/** Rows as the bytes of a file of some format. */
import { TuneyardError } from '@protocol/errors';
import { ByteWriter, parquetWriteRows } from 'hyparquet-writer';

type Values = Record<string, unknown>;
export type TargetFormat = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | 'txt';

export interface WrittenRow {
  line: number;
  values: Values;
}

/** What is known of a column after all its values were seen. */
export type ColumnKinds = Map<string, Set<'string' | 'number' | 'boolean' | 'bigint' | 'date' | 'other'>>;

const PIECE = 1 << 18;
const GROUP_ROWS = 10_000;

export function seeColumns(columns: ColumnKinds, values: Values): void {
  for (const [name, value] of Object.entries(values)) {
    const kinds = columns.get(name) ?? new Set();
    columns.set(name, kinds);
    if (value === null || value === undefined) continue;
    const kind = value instanceof Date ? 'date' : typeof value;
    kinds.add(
      kind === 'string' || kind === 'number' || kind === 'boolean' || kind === 'bigint' || kind === 'date'
        ? kind
        : 'other',
    );
  }
}

/** @throws (while reading) TuneyardError `dataset_invalid` for a value that the format has no way to write */
export async function* writeRows(
  rows: AsyncIterable<WrittenRow>,
  format: TargetFormat,
  columns: ColumnKinds,
  file: string,
): AsyncGenerator<Uint8Array> {
  if (format === 'parquet') yield* parquet(rows, columns);
  else yield* inPieces(texts(rows, format, [...columns.keys()], file));
}

async function* texts(
  rows: AsyncIterable<WrittenRow>,
  format: Exclude<TargetFormat, 'parquet'>,
  columns: string[],
  file: string,
): AsyncGenerator<string> {
  const delimiter = format === 'tsv' ? '\t' : ',';
  const separated = format === 'csv' || format === 'tsv';
  if (separated) yield `${columns.map((column) => quoted(column, delimiter)).join(delimiter)}\n`;
  let isFirst = true;
  for await (const { line, values } of rows) {
    if (format === 'jsonl') yield `${json(values)}\n`;
    else if (format === 'json') yield `${isFirst ? '[\n' : ',\n'}${json(values)}`;
    else if (separated) {
      const fields = columns.map((column) => quoted(field(values[column], column, file, line), delimiter));
      // A line with nothing on it would be skipped.
      yield `${fields.length === 1 && fields[0] === '' ? '""' : fields.join(delimiter)}\n`;
    } else {
      const text = field(values.text, 'text', file, line);
      if (/^\s*$|\n[^\S\n]*\n/u.test(text)) {
        const what =
          'this row holds a blank line, which in a text file would make two rows of it; write another format.';
        throw new TuneyardError('dataset_invalid', what, { place: { file, line } });
      }
      yield `${isFirst ? '' : '\n'}${text}\n`;
    }
    isFirst = false;
  }
  if (format === 'json') yield isFirst ? '[]\n' : '\n]\n';
}

async function* inPieces(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  let piece = '';
  for await (const text of texts) {
    piece += text;
    if (piece.length < PIECE) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  if (piece !== '') yield Buffer.from(piece);
}

/** A row group at a time, as long as the columns say what they hold. */
async function* parquet(rows: AsyncIterable<WrittenRow>, columns: ColumnKinds): AsyncGenerator<Uint8Array> {
  const writer = new ByteWriter();
  async function* values() {
    for await (const row of rows) {
      const one: Values = {};
      for (const name of columns.keys()) one[name] = row.values[name] ?? null;
      yield one;
    }
  }
  await parquetWriteRows({
    writer,
    rows: values(),
    rowGroupSize: GROUP_ROWS,
    columns: [...columns].map(([name, kinds]) => ({ name, type: columnType(kinds) })),
  });
  yield new Uint8Array(writer.getBuffer());
}

function columnType(kinds: ReadonlySet<string>): 'STRING' | 'DOUBLE' | 'BOOLEAN' | 'INT64' | 'TIMESTAMP' | 'JSON' {
  const [only] = kinds;
  if (kinds.size === 0) return 'STRING';
  if (kinds.size > 1) return 'JSON';
  const types = { string: 'STRING', number: 'DOUBLE', boolean: 'BOOLEAN', bigint: 'INT64', date: 'TIMESTAMP' } as const;
  return types[only as keyof typeof types] ?? 'JSON';
}

function json(values: Values): string {
  // Whole numbers of Parquet; those beyond 2^53 stay exact as text.
  return JSON.stringify(values, (_, value: unknown) =>
    typeof value === 'bigint' ? (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)) : value,
  );
}

function field(value: unknown, column: string, file: string, line: number): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value instanceof Date) return value.toISOString();
  const what = `the column "${column}" holds ${Array.isArray(value) ? 'a list' : 'an object'}, for which this format has no place; write JSON Lines or Parquet.`;
  throw new TuneyardError('dataset_invalid', what, { place: { file, line } });
}

function quoted(text: string, delimiter: string): string {
  return /["\r\n]/.test(text) || text.includes(delimiter) || /^\ufeff/.test(text)
    ? `"${text.replaceAll('"', '""')}"`
    : text;
}
