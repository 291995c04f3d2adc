/** Opens a dataset file for reading from any place; what has no index yet is gone through in the background. */
import { createHash } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import { fetchHubFile, type HubDataOptions, openHubFile } from '../../hub/hubDataset';
import { readerFor } from '../readers';
import { type ByteSource, openFile, textBytes } from './byteSource';
import { createScanner } from './createScanner';
import { HubBytes } from './hubBytes';
import { loadIndex, saveIndex } from './indexCache';
import { indexInBackground } from './indexInBackground';
import { ParquetFile } from './parquetFile';
import { readHeader } from './parseRecord';
import { RecordFile } from './recordFile';
import type { RowSource } from './rowSource';
import { FILE_START, type ScannerKind } from './scanner';

const KINDS: Record<string, ScannerKind> = {
  JSON: 'json',
  'JSON Lines': 'lines',
  CSV: 'csv',
  TSV: 'tsv',
  'plain text': 'paragraphs',
};
/** What is looked at to tell files apart without reading them. */
const KEY_BYTES = 64 << 10;
/** A header line, or the first line of what may be JSON Lines, is not longer. */
const MOST_FIRST_RECORD = 4 << 20;

/**
 * @param unsaved in place of what the file holds
 * @throws TuneyardError `file_not_found`; `dataset_invalid`; `dataset_empty`; `encoding_invalid` for a header that is no UTF-8
 */
export async function openSource(path: string, unsaved?: string): Promise<RowSource> {
  const { name: format } = readerFor(path);
  const source = unsaved === undefined ? await openFile(path) : textBytes(unsaved);
  try {
    const key = await contentKey(path, source);
    if (format === 'Parquet') return await ParquetFile.open(path, key, source);
    return await openRecords(path, format, key, source, unsaved === undefined);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * @param path of a file on the hub, at a commit: Parquet is read where it is, whatever else is fetched
 * @throws TuneyardError as {@link openSource}; `hub_failed`; `disk_full`; `cancelled`
 */
export async function openHubSource(path: string, options: HubDataOptions): Promise<RowSource> {
  const { name: format } = readerFor(path);
  const file = await openHubFile(path, options);
  if (file.local !== undefined) return openSource(file.local);
  if (format !== 'Parquet') return openSource(await fetchHubFile(path, options));
  const key = createHash('sha256').update(path).digest('hex').slice(0, 32);
  try {
    return await ParquetFile.open(path, key, new HubBytes(file));
  } catch (error) {
    const sendsOnlyWhole = error instanceof TuneyardError && error.data.ranges === false;
    if (sendsOnlyWhole) return openSource(await fetchHubFile(path, options));
    throw error;
  }
}

async function openRecords(
  path: string,
  format: string,
  key: string,
  source: ByteSource,
  isFile: boolean,
): Promise<RecordFile> {
  let kind = KINDS[format]!;
  if (kind === 'json' && (await isJsonLines(source))) kind = 'lines';
  const header = kind === 'csv' || kind === 'tsv' ? await firstRecord(kind, source, path) : undefined;
  const file = new RecordFile(source, { path, format, kind, key, ...(header && { header }) });
  const cached = isFile ? await loadIndex(`${key}-${kind}`) : undefined;
  if (cached) {
    file.take(cached);
    return file;
  }
  const work = { kind, hasHeader: header !== undefined };
  void indexInBackground(source, isFile, work, file);
  if (isFile) file.whole.then(() => saveIndex(`${key}-${kind}`, file.toPiece())).catch(() => {});
  return file;
}

/** Whether another one may lie there, from what is quickly looked at. */
async function contentKey(path: string, source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  hash.update(`${path}\0${source.size}\0${source.mtimeMs}\0`);
  if (source.mtimeMs === 0) {
    hash.update(await source.read(0, source.size));
  } else {
    hash.update(await source.read(0, KEY_BYTES));
    hash.update(await source.read(Math.max(0, source.size - KEY_BYTES), KEY_BYTES));
  }
  return hash.digest('hex').slice(0, 32);
}

/** As the JSON reader sees it: an object on the first line, and something behind it. */
async function isJsonLines(source: ByteSource): Promise<boolean> {
  const bytes = await source.read(0, MOST_FIRST_RECORD);
  const text = bytes.toString('utf8').replace(/^\s+/u, '');
  if (!text.startsWith('{')) return false;
  const end = text.indexOf('\n');
  try {
    const value: unknown = JSON.parse(end < 0 ? text : text.slice(0, end));
    if (end >= 0 && text.slice(end).trim() !== '') return true;
    // A single sample on a line of its own is JSON Lines as well as JSON.
    return !Object.values(value as object).some(Array.isArray);
  } catch {
    return false;
  }
}

async function firstRecord(kind: 'csv' | 'tsv', source: ByteSource, path: string): Promise<string[]> {
  const bytes = await source.read(0, MOST_FIRST_RECORD);
  let header: string[] | undefined;
  const scanner = createScanner(kind, FILE_START, (start, end, line) => {
    header ??= readHeader(kind, bytes.subarray(start, end), line, path);
  });
  scanner.push(bytes);
  if (!header && bytes.length === source.size) scanner.finish();
  if (header) return header;
  if (bytes.toString('utf8').trim() === '') {
    throw new TuneyardError('dataset_empty', 'the file has no rows.', { place: { file: path } });
  }
  const what = 'the header line has no end: a quote that opens there is never closed, or it is too long.';
  throw new TuneyardError('dataset_invalid', what, { place: { file: path, line: 1 } });
}
