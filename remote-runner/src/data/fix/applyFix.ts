/** Mends data: into new files beside the old one, or as lines that an editor takes out. What is there is never written over. */
import { extname } from 'node:path';
import type { DatasetFix } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import { RecordFile } from '../index/recordFile';
import type { RowSource } from '../index/rowSource';
import type { SampleView } from '../session/sampleView';
import { trainTestSplit } from '../split';
import { CannotConvert, convertRow } from './convertRow';
import { keptRecords } from './keptRecords';
import { writeNewFile } from './newFile';
import { type ColumnKinds, seeColumns, type TargetFormat, type WrittenRow, writeRows } from './rowWriter';

export interface FixContext {
  source: RowSource;
  view: SampleView;
  /** Rows with the text of an earlier one, or nearly. */
  duplicates(near: boolean): Promise<Uint32Array>;
  tell(done: number, total: number): void;
  signal?: AbortSignal | undefined;
}

const ROWS_AT_ONCE = 1_000;

/** @throws TuneyardError `usage`, `dataset_invalid` with the row's line, `disk_full`, `not_writable`, `cancelled` */
export async function applyFix(
  fix: DatasetFix,
  to: string,
  context: FixContext,
): Promise<{ paths: string[]; rows: number }> {
  const { source } = context;
  if (fix.kind === 'convert') return convert(fix, to, context);
  if (fix.kind === 'split') {
    const { test } = trainTestSplit(source.rows, fix.test_size, fix.seed);
    const held = new Uint8Array(source.rows);
    for (const row of test) held[row] = 1;
    const paths = [named(to, 'train'), named(to, 'test')];
    // The second one fails before the first is there, where it can.
    await writeKept(paths[1]!, context, (row) => held[row] === 1);
    await writeKept(paths[0]!, context, (row) => held[row] !== 1);
    return { paths, rows: source.rows };
  }
  const dropped = new Uint8Array(source.rows);
  for (const row of await droppedRows(fix, context)) dropped[row] = 1;
  const rows = await writeKept(to, context, (row) => dropped[row] !== 1);
  return { paths: [to], rows };
}

/** @returns 1-based lines, both included, the last ones first. @throws TuneyardError `usage` where lines cannot just be taken out */
export async function fixEdits(
  fix: DatasetFix,
  context: FixContext,
): Promise<{ from_line: number; to_line: number }[]> {
  const { source } = context;
  if (fix.kind !== 'drop' && fix.kind !== 'deduplicate') {
    throw new TuneyardError('usage', `"${fix.kind}" makes new files; it is no edit of this one.`);
  }
  if (!(source instanceof RecordFile) || source.isArray) {
    throw new TuneyardError('usage', `rows of ${source.format} are not lines of their own; write a new file instead.`, {
      place: { file: source.path },
    });
  }
  const ranges: { from_line: number; to_line: number }[] = [];
  for (const row of [...(await droppedRows(fix, context))].sort((a, b) => a - b)) {
    const [found] = await source.read(row, 1, context.signal);
    if (!found) continue;
    const last = ranges.at(-1);
    if (last && last.to_line + 1 === found.line) last.to_line = found.endLine;
    else if (last?.to_line !== found.endLine) ranges.push({ from_line: found.line, to_line: found.endLine });
  }
  return ranges.reverse();
}

async function droppedRows(
  fix: Extract<DatasetFix, { kind: 'drop' | 'deduplicate' }>,
  { source, duplicates }: FixContext,
): Promise<Iterable<number>> {
  if (fix.kind === 'deduplicate') return duplicates(fix.near);
  const outside = fix.rows.find((row) => !Number.isInteger(row) || row < 0 || row >= source.rows);
  if (outside === undefined) return fix.rows;
  throw new TuneyardError('usage', `there is no row ${outside}; the file has ${source.rows}.`, {
    place: { file: source.path },
  });
}

/** The rows as they stand in the file, but for Parquet, whose bytes cannot be taken apart. @returns how many */
async function writeKept(to: string, context: FixContext, isKept: (row: number) => boolean): Promise<number> {
  const { source, signal, tell } = context;
  if (extname(to).toLowerCase() !== extname(source.path).toLowerCase()) {
    throw new TuneyardError('usage', `the new file must end in ${extname(source.path)}, as the old one does.`, {
      place: { file: to },
    });
  }
  let rows = 0;
  const count = (row: number) => {
    if (row % ROWS_AT_ONCE === 0) tell(row, source.rows);
    const kept = isKept(row);
    if (kept) rows++;
    return kept;
  };
  if (source instanceof RecordFile) {
    await writeNewFile(to, keptRecords(source, count, signal), signal);
    return rows;
  }
  const columns = await columnsOf(readValues(context));
  async function* kept() {
    for await (const one of readValues(context)) if (count(one.row)) yield one;
  }
  await writeNewFile(to, writeRows(kept(), 'parquet', columns, source.path), signal);
  return rows;
}

async function convert(
  fix: Extract<DatasetFix, { kind: 'convert' }>,
  to: string,
  context: FixContext,
): Promise<{ paths: string[]; rows: number }> {
  const { source, view, tell, signal } = context;
  let rows = 0;
  async function* converted(): AsyncGenerator<WrittenRow> {
    rows = 0;
    for await (const { line, row, values } of readValues(context)) {
      rows++;
      try {
        yield {
          line,
          values: convertRow(values, view.format, fix.format, () => view.textOf(values, source.path, line)),
        };
      } catch (error) {
        if (!(error instanceof CannotConvert)) throw error;
        throw new TuneyardError('dataset_invalid', `this row cannot become "${fix.format}": ${error.message}.`, {
          place: { file: source.path, line },
          cause: error,
        });
      }
      if (row % ROWS_AT_ONCE === 0) tell(row, source.rows);
    }
  }
  // Once through all of it before a byte is written: what cannot be converted is said at once, and columns have one type.
  const columns = await columnsOf(converted());
  const format: TargetFormat = fix.file_format;
  await writeNewFile(to, writeRows(converted(), format, columns, source.path), signal);
  return { paths: [to], rows };
}

async function columnsOf(rows: AsyncIterable<WrittenRow>): Promise<ColumnKinds> {
  const columns: ColumnKinds = new Map();
  for await (const { values } of rows) seeColumns(columns, values);
  return columns;
}

async function* readValues({ source, signal }: FixContext): AsyncGenerator<WrittenRow & { row: number }> {
  for (let from = 0; from < source.rows; from += ROWS_AT_ONCE) {
    for (const { row, line, values, error } of await source.read(from, ROWS_AT_ONCE, signal)) {
      if (!values) throw error ?? new TuneyardError('dataset_invalid', 'the row cannot be read.');
      yield { row, line, values };
    }
  }
}

/** data.jsonl → data-train.jsonl */
function named(path: string, part: string): string {
  const ending = extname(path);
  return `${path.slice(0, path.length - ending.length)}-${part}${ending}`;
}
