/** Mends data: into new files beside the old one, or as lines that an editor takes out. What is there is never written over. */
import { rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { DatasetEdit, DatasetFix } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import { RecordFile } from '../index/recordFile';
import type { RowSource } from '../index/rowSource';
import { readText } from '../readers/lines';
import type { SampleView } from '../session/sampleView';
import { trainTestSplit } from '../split';
import { arrayEdits, type TextRange } from './arrayEdits';
import { CannotConvert, convertRow } from './convertRow';
import { keptRecords } from './keptRecords';
import { writeNewFile } from './newFile';
import { type ColumnKinds, seeColumns, type TargetFormat, type WrittenRow, writeRows } from './rowWriter';

export interface FixContext {
  sources: readonly FixSource[];
  view: SampleView;
  /** Rows with the text of an earlier one, or nearly; counted through all files. */
  duplicates(near: boolean): Promise<Uint32Array>;
  tell(done: number, total: number): void;
  signal?: AbortSignal | undefined;
}

export interface FixSource {
  source: RowSource;
  /** In place of what the file holds. */
  unsaved: string | undefined;
}

/** A file of its own among the sources. */
type OneContext = Omit<FixContext, 'sources' | 'duplicates'> & { source: RowSource };

const ROWS_AT_ONCE = 1_000;
/** Bytes of a text that is parsed as a whole for its edits. */
const MOST_EDITED = 64 << 20;

/** @throws TuneyardError `usage`, `dataset_invalid` with the row's line, `disk_full`, `not_writable`, `cancelled` */
export async function applyFix(
  fix: DatasetFix,
  to: string,
  context: FixContext,
): Promise<{ paths: string[]; rows: number }> {
  const [{ source }] = context.sources as [FixSource];
  const first = { ...context, source };
  if (fix.kind === 'convert') return convert(fix, to, first);
  if (fix.kind === 'split') {
    const { test } = trainTestSplit(source.rows, fix.test_size, fix.seed);
    const held = new Uint8Array(source.rows);
    for (const row of test) held[row] = 1;
    const paths = [named(to, 'train'), named(to, 'test')];
    // The second one fails before the first is there, where it can.
    await writeKept(paths[1]!, first, (row) => held[row] === 1);
    await writeKept(paths[0]!, first, (row) => held[row] !== 1);
    return { paths, rows: source.rows };
  }
  const paths: string[] = [];
  let rows = 0;
  try {
    for (const { source: one, number, dropped } of await droppedRows(fix, context)) {
      if (dropped.size === 0 && context.sources.length > 1) continue;
      const path = number === 0 ? to : likeNamed(one.path, source.path, to);
      rows += await writeKept(path, { ...context, source: one }, (row) => !dropped.has(row));
      paths.push(path);
    }
  } catch (error) {
    // All of them, or none.
    await Promise.all(paths.map((path) => rm(path, { force: true })));
    throw error;
  }
  return { paths, rows };
}

/** @returns of each file the last ones first. @throws TuneyardError `usage` where nothing can be taken out of the text */
export async function fixEdits(fix: DatasetFix, context: FixContext): Promise<DatasetEdit[]> {
  if (fix.kind !== 'drop' && fix.kind !== 'deduplicate') {
    throw new TuneyardError('usage', `"${fix.kind}" makes new files; it is no edit of this one.`);
  }
  const edits: DatasetEdit[] = [];
  for (const { source, unsaved, number, dropped } of await droppedRows(fix, context)) {
    if (dropped.size === 0) continue;
    if (!(source instanceof RecordFile)) throw noEdits(source, `${source.format} is no text`);
    if (source.isArray && source.bytes > MOST_EDITED) throw noEdits(source, 'the file is too large to be edited');
    const ranges = source.isArray
      ? arrayEdits(unsaved ?? (await readText(source.path)), (row) => dropped.has(row))
      : await lineEdits(source, dropped, context.signal);
    edits.push(...ranges.reverse().map((range) => ({ source: number, ...range })));
  }
  return edits;
}

const noEdits = ({ path }: RowSource, why: string): TuneyardError =>
  new TuneyardError('usage', `${why}; write a new file instead.`, { place: { file: path } });

async function lineEdits(
  source: RowSource,
  dropped: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<TextRange[]> {
  const lines: { from: number; to: number }[] = [];
  for (const row of [...dropped].sort((a, b) => a - b)) {
    const [found] = await source.read(row, 1, signal);
    if (!found) continue;
    const last = lines.at(-1);
    if (last && last.to + 1 === found.line) last.to = found.endLine;
    else if (last?.to !== found.endLine) lines.push({ from: found.line, to: found.endLine });
  }
  return lines.map(({ from, to }) => ({ from: { line: from, character: 0 }, to: { line: to + 1, character: 0 } }));
}

/** For each file its own numbers. */
async function droppedRows(
  fix: Extract<DatasetFix, { kind: 'drop' | 'deduplicate' }>,
  { sources, duplicates }: FixContext,
): Promise<(FixSource & { number: number; dropped: Set<number> })[]> {
  const total = sources.reduce((rows, { source }) => rows + source.rows, 0);
  const all = fix.kind === 'deduplicate' ? await duplicates(fix.near) : fix.rows;
  const outside = all.find((row) => !Number.isInteger(row) || row < 0 || row >= total);
  if (outside !== undefined) {
    throw new TuneyardError('usage', `there is no row ${outside}; there are ${total}.`, {
      place: { file: sources[0]!.source.path },
    });
  }
  const sorted = Array.from(all).sort((a, b) => a - b);
  let first = 0;
  let next = 0;
  return sources.map((one, number) => {
    const dropped = new Set<number>();
    const end = first + one.source.rows;
    for (; next < sorted.length && sorted[next]! < end; next++) dropped.add(sorted[next]! - first);
    first = end;
    return { ...one, number, dropped };
  });
}

/** The rows as they stand in the file, but for Parquet, whose bytes cannot be taken apart. @returns how many */
async function writeKept(to: string, context: OneContext, isKept: (row: number) => boolean): Promise<number> {
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
  context: OneContext,
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

async function* readValues({ source, signal }: OneContext): AsyncGenerator<WrittenRow & { row: number }> {
  for (let from = 0; from < source.rows; from += ROWS_AT_ONCE) {
    for (const { row, line, values, error } of await source.read(from, ROWS_AT_ONCE, signal)) {
      if (!values) throw error ?? new TuneyardError('dataset_invalid', 'the row cannot be read.');
      yield { row, line, values };
    }
  }
}

/** more.csv for first.jsonl → first.kept.jsonl: more.kept.csv */
function likeNamed(path: string, first: string, to: string): string {
  const stem = (file: string) => basename(file, extname(file));
  const isLike = stem(to).startsWith(stem(first)) && stem(to) !== stem(first);
  const part = isLike ? stem(to).slice(stem(first).length) : '.kept';
  return join(dirname(path), `${stem(path)}${part}${extname(path)}`);
}

/** data.jsonl → data-train.jsonl */
function named(path: string, part: string): string {
  const ending = extname(path);
  return `${path.slice(0, path.length - ending.length)}-${part}${ending}`;
}
