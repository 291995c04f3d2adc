/** Packed data as training sees it: not row by row, but in blocks of `max_length` tokens. */
import type { DatasetRecipe } from '@protocol/recipe';
import { type DatasetRows, packRows, tokenizeOptions, tokenizeRows } from '../dataset';
import type { RowSource } from '../index/rowSource';
import { type Row, readRows } from '../readers';
import { rowFilter } from '../rowFilter';
import type { Sample } from '../tokenize';
import type { Tokenizer } from '../tokenizer';

/** Larger files are shown row by row: blocks are known only when all that is before them is tokenized. */
export const MOST_PACKED_BYTES = 16 << 20;
const ROWS_AT_ONCE = 1_000;

/** @throws TuneyardError as reading and tokenizing do; rows that cannot be used are left out, as they are told elsewhere */
export async function packedBlocks(
  source: RowSource,
  unsaved: string | undefined,
  {
    recipe,
    data,
    tokenizer,
    maxLength,
  }: { recipe: DatasetRecipe; data: Omit<DatasetRows, 'rows'>; tokenizer: Tokenizer; maxLength: number },
  signal: AbortSignal,
): Promise<Sample[]> {
  const keeps = rowFilter(recipe.filter);
  const rows = (await rowsOf(source, unsaved, signal)).filter(({ values }) => !keeps || keeps(values));
  const { samples } = await tokenizeRows(
    rows,
    tokenizeOptions({ ...data, rows: [] }, recipe, { tokenizer, maxLength }),
    signal,
  );
  return packRows(samples, { ...data, rows }, tokenizer, maxLength);
}

async function rowsOf(source: RowSource, unsaved: string | undefined, signal: AbortSignal): Promise<Row[]> {
  const rows: Row[] = [];
  // A text is one row, as it stands.
  if (source.format === 'plain text') {
    if (unsaved !== undefined) return [{ line: 1, values: { text: unsaved.replaceAll('\r\n', '\n') } }];
    for await (const row of readRows(source.path, { signal, textRows: 'document' })) rows.push(row);
    return rows;
  }
  await source.whole;
  for (let from = 0; from < source.rows; from += ROWS_AT_ONCE) {
    for (const { line, values } of await source.read(from, ROWS_AT_ONCE, signal))
      if (values) rows.push({ line, values });
  }
  return rows;
}
