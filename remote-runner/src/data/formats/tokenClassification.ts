import type { ErrorPlace } from '@protocol/errors';
import { type FormatDef, firstOf, has, rowError, type Values } from './format';

/** `tokens`, a list of words, and `tags` (or `ner_tags`), a tag a word. */
export const tokenClassification: FormatDef = {
  name: 'token-classification',
  wants: 'columns `tokens` and `tags`, lists of the same length',
  method: 'token classification',
  fits: (columns, rows) =>
    has(columns, 'tokens') && tagColumn(columns) !== undefined && Array.isArray(firstOf(rows, 'tokens')),
  render: (values, { place }) => {
    const column = tagColumn(Object.keys(values)) ?? 'tags';
    const [tokens, tags] = [list(values, 'tokens', place), list(values, column, place)];
    if (tokens.length !== tags.length)
      throw rowError(`the row has ${tokens.length} tokens and ${tags.length} tags; give each word one.`, place);
    const words = tokens.map((word, i) => ({ word: String(word), tag: String(tags[i]) }));
    return { text: { kind: 'plain', prompt: '', completion: words.map(({ word }) => word).join(' ') }, words };
  },
};

const tagColumn = (columns: readonly string[]): string | undefined =>
  ['tags', 'ner_tags'].find((name) => columns.includes(name));

function list(values: Values, column: string, place: ErrorPlace): unknown[] {
  const value = values[column];
  if (Array.isArray(value)) return value;
  throw rowError(`the column "${column}" holds no list.`, place);
}
