import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DatasetEdit, DatasetFix } from '@protocol/dataset';
import { readRows } from '@runner/data/readers';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterEach, describe, expect, it } from 'vitest';
import { folder } from '../support';
import { opening, openSession, type TestSession } from './sessionSupport';

let session: TestSession | undefined;
afterEach(async () => {
  await session?.close();
  session = undefined;
});

async function open(name: string, content: string | Uint8Array, more: Record<string, unknown> = {}): Promise<string> {
  const dir = folder({});
  const path = join(dir, name);
  writeFileSync(path, content);
  session = await openSession();
  await session.peer.request('dataset/open', opening(path, more));
  return path;
}

const fix = (path: string, wanted: DatasetFix, to: string) =>
  session!.peer.request('dataset/fix', { fix: wanted, to: join(dirname(path), to) });

async function values(path: string): Promise<unknown[]> {
  const rows: unknown[] = [];
  for await (const row of readRows(path)) rows.push(row.values);
  return rows;
}

/** Whole lines, both included. */
const lines = (from: number, to: number, source = 0) => ({
  source,
  from: { line: from, character: 0 },
  to: { line: to + 1, character: 0 },
});

/** What an editor has after the edits. */
function edited(text: string, edits: readonly DatasetEdit[]): string {
  const starts = [0, ...[...text.matchAll(/\r\n|\r|\n/g)].map(({ index, 0: end }) => index + end.length)];
  const at = ({ line, character }: DatasetEdit['from']) => (starts[line - 1] ?? text.length) + character;
  return edits.reduce((now, { from, to }) => now.slice(0, at(from)) + now.slice(at(to)), text);
}

const drop = (...rows: number[]): DatasetFix => ({ kind: 'drop', rows });

describe('dropping rows', () => {
  it.each([
    ['data.jsonl', '{"text":"a"}\r\n{ "text": "b" }\r\n\r\n{"text":"c"}', '{"text":"a"}\r\n{"text":"c"}\n'],
    ['data.csv', '\ufefftext,n\r\na,1\r\n"b\r\n",2\r\nc,3\r\n', '\ufefftext,n\r\na,1\r\nc,3\r\n'],
    ['data.json', '[{"text":"a"},\n {"text":"b"}, {"text" : "c"}]', '[\n{"text":"a"},\n{"text" : "c"}\n]\n'],
    ['data.txt', 'a\na\n\nb\n\n\nc', 'a\na\n\nc\n'],
  ])('writes the others of %s as they stood, beside the old file', async (name, content, wanted) => {
    const path = await open(name, content, name.endsWith('csv') ? { template: '{text}' } : {});
    const to = join(dirname(path), `new.${name.split('.')[1]}`);
    expect(await fix(path, drop(1), basename(to))).toEqual({ paths: [to], rows: 2 });
    expect(readFileSync(to, 'utf8')).toBe(wanted);
    expect(readFileSync(path, 'utf8')).toBe(content);
    expect(readdirSync(dirname(path)).length).toBe(2);
  });

  it('does so with Parquet, lists and all', async () => {
    const columnData = [
      { name: 'text', data: ['a', 'b', 'c'] },
      { name: 'tags', data: [['x', 'y'], [], ['z']], type: 'JSON' as const },
    ];
    const path = await open('data.parquet', new Uint8Array(parquetWriteBuffer({ columnData })));
    await fix(path, drop(0), 'new.parquet');
    expect(await values(join(dirname(path), 'new.parquet'))).toEqual([
      { text: 'b', tags: [] },
      { text: 'c', tags: ['z'] },
    ]);
  });

  it('never writes over a file, and leaves nothing behind where it fails', async () => {
    const path = await open('data.jsonl', '{"text":"a"}\n{"text":"b"}\n');
    await expect(fix(path, drop(0), 'data.jsonl')).rejects.toMatchObject({ code: 'usage' });
    await expect(fix(path, drop(5), 'new.jsonl')).rejects.toMatchObject({ code: 'usage' });
    await expect(fix(path, drop(0), 'new.csv')).rejects.toMatchObject({ code: 'usage' });
    await expect(fix(path, drop(0), 'no/such/folder/new.jsonl')).rejects.toMatchObject({ code: 'file_not_found' });
    expect(readdirSync(dirname(path))).toEqual(['data.jsonl']);
    expect(readFileSync(path, 'utf8')).toBe('{"text":"a"}\n{"text":"b"}\n');
  });

  it('is a list of line ranges for an editor, the last ones first', async () => {
    await open('data.csv', 'text\na\n"b\nb"\nc\nd\ne\n');
    const edits = (wanted: DatasetFix) => session!.peer.request('dataset/edits', { fix: wanted });
    expect(await edits(drop(4, 1, 2))).toEqual([lines(7, 7), lines(3, 5)]);
    await expect(edits({ kind: 'split', test_size: 0.5, seed: 1 })).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('an array', () => {
  const rows = ['{"text":"a"}', '{ "text": "b, ]" }', '{"text":"c"}', '{"text":"d"}'];
  it.each([
    ['on one line', `[${rows.join(',')}]`],
    ['a row a line', `[\n  ${rows.join(',\n  ')}\n]\n`],
    ['with other line ends, and a comma first', `[\r\n${rows.join('\r\n, ')}\r\n]`],
    ['in an object', `{"version": 1, "data": [${rows.join(' ,\n')}]}`],
  ])('%s stays one whatever is taken out of it in an editor', async (_, text) => {
    await open('data.json', text);
    for (const gone of [[0], [3], [1, 2], [2, 3], [0, 3], [0, 1, 2, 3]]) {
      const edits = await session!.peer.request('dataset/edits', { fix: drop(...gone) });
      const parsed = JSON.parse(edited(text, edits)) as { data: unknown } | unknown[];
      const kept = rows.filter((__, i) => !gone.includes(i)).map((row) => JSON.parse(row));
      expect(Array.isArray(parsed) ? parsed : parsed.data).toEqual(kept);
    }
  });

  it('is edited as the editor has it, not as it was saved', async () => {
    const path = await open('data.json', `[${rows.join(',')}]`);
    const unsaved = `[\n${rows.slice(1).join(',\n')}\n]`;
    await session!.peer.request('dataset/open', opening(path, { unsaved }));
    const edits = await session!.peer.request('dataset/edits', { fix: drop(0) });
    expect(JSON.parse(edited(unsaved, edits))).toEqual(rows.slice(2).map((row) => JSON.parse(row)));
  });
});

describe('several files', () => {
  const files = {
    'a.jsonl': '{"text":"1"}\n{"text":"2"}\n',
    'b.json': '[{"text":"2"},{"text":"3"}]',
    'c.jsonl': '{"text":"4"}\n',
  };
  async function openAll(): Promise<string> {
    const dir = folder(files);
    session = await openSession();
    const sources = ['b.json', 'c.jsonl'].map((name) => ({ path: join(dir, name) }));
    await session.peer.request('dataset/open', opening(join(dir, 'a.jsonl'), { sources }));
    return dir;
  }

  it('lose rows each in a file beside it, or in its own editor; those that lose none stay alone', async () => {
    const dir = await openAll();
    const { paths, rows } = await fix(join(dir, 'a.jsonl'), drop(0, 3), 'a.kept.jsonl');
    expect(paths).toEqual([join(dir, 'a.kept.jsonl'), join(dir, 'b.kept.json')]);
    expect(rows).toBe(2);
    expect(await values(paths[0]!)).toEqual([{ text: '2' }]);
    expect(await values(paths[1]!)).toEqual([{ text: '2' }]);
    expect(readdirSync(dir).length).toBe(5);
    const edits = await session!.peer.request('dataset/edits', { fix: drop(0, 3) });
    expect(edits.map(({ source }) => source)).toEqual([0, 1]);
    expect(edited(files['b.json'], edits.slice(1))).toBe('[{"text":"2"}]');
  });

  it('lose what one says after another', async () => {
    const dir = await openAll();
    const { paths } = await fix(join(dir, 'a.jsonl'), { kind: 'deduplicate', near: false }, 'a.unique.jsonl');
    expect(paths).toEqual([join(dir, 'b.unique.json')]);
    expect(await values(paths[0]!)).toEqual([{ text: '3' }]);
  });

  it('all get their new files, or none does', async () => {
    const dir = await openAll();
    writeFileSync(join(dir, 'b.kept.json'), 'mine');
    await expect(fix(join(dir, 'a.jsonl'), drop(0, 3), 'a.kept.jsonl')).rejects.toMatchObject({ code: 'usage' });
    expect(readdirSync(dir).sort()).toEqual(['a.jsonl', 'b.json', 'b.kept.json', 'c.jsonl']);
    expect(readFileSync(join(dir, 'b.kept.json'), 'utf8')).toBe('mine');
  });
});

describe('other fixes', () => {
  const long = (word: string) =>
    `the ${word} dog ran over the wide green hill and then it slept by the old ${word} barn until dawn`;

  it('leaves the first of rows that say the same, and of those that nearly do', async () => {
    const rows = [long('red'), long('blue'), long('red'), long('red').toUpperCase(), 'short', 'short'];
    const path = await open('data.jsonl', rows.map((text) => JSON.stringify({ text })).join('\n'));
    const texts = async (to: string) =>
      (await values(join(dirname(path), to))).map((row) => (row as { text: string }).text);
    await fix(path, { kind: 'deduplicate', near: false }, 'exact.jsonl');
    expect(await texts('exact.jsonl')).toEqual([rows[0], rows[1], rows[3], 'short']);
    await fix(path, { kind: 'deduplicate', near: true }, 'near.jsonl');
    expect(await texts('near.jsonl')).toEqual([rows[0], rows[1], 'short']);
    expect(await session!.peer.request('dataset/edits', { fix: { kind: 'deduplicate', near: false } })).toEqual([
      lines(6, 6),
      lines(3, 3),
    ]);
  });

  it('splits as training would with that seed, into two files that hold every row once', async () => {
    const path = await open('data.jsonl', Array.from({ length: 10 }, (_, n) => `{"text":"${n}"}\n`).join(''));
    const { paths, rows } = await fix(path, { kind: 'split', test_size: 0.3, seed: 7 }, 'new.jsonl');
    expect(rows).toBe(10);
    const [train, test] = await Promise.all(paths.map(values));
    expect([train!.length, test!.length]).toEqual([7, 3]);
    expect(new Set([...train!, ...test!].map((row) => JSON.stringify(row))).size).toBe(10);
  });

  it.each(['jsonl', 'json', 'csv', 'tsv', 'parquet'] as const)('writes the same rows as %s', async (format) => {
    const rows = [
      { text: 'plain', target: ' a,b' },
      { text: 'quo"te\nand\tline', target: 'ü 漢 👩‍👩‍👧' },
      { text: '', target: ' x' },
    ];
    const path = await open('data.json', JSON.stringify(rows));
    await fix(path, { kind: 'convert', format: 'text-target', file_format: format }, `new.${format}`);
    expect(await values(join(dirname(path), `new.${format}`))).toEqual(rows);
  });

  it('makes chats of questions and answers', async () => {
    const path = await open('data.jsonl', '{"text":"Why?","target":"So."}\n');
    await fix(path, { kind: 'convert', format: 'messages', file_format: 'jsonl' }, 'new.jsonl');
    expect(await values(join(dirname(path), 'new.jsonl'))).toEqual([
      {
        messages: [
          { role: 'user', content: 'Why?' },
          { role: 'assistant', content: 'So.' },
        ],
      },
    ]);
  });

  it('says on which line a row cannot be converted, and writes nothing', async () => {
    const path = await open('data.jsonl', '{"text":"a","target":"b"}\n{"text":"a","target":["b"]}\n');
    const wanted: DatasetFix = { kind: 'convert', format: 'messages', file_format: 'jsonl' };
    await expect(fix(path, wanted, 'new.jsonl')).rejects.toMatchObject({ code: 'dataset_invalid', place: { line: 2 } });
    expect(readdirSync(dirname(path))).toEqual(['data.jsonl']);
  });
});
