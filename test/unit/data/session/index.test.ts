import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TuneyardError } from '@protocol/errors';
import { createScanner } from '@runner/data/index/createScanner';
import { openSource } from '@runner/data/index/openSource';
import type { SourceRow } from '@runner/data/index/rowSource';
import { FILE_START, type ScannerKind } from '@runner/data/index/scanner';
import { readRows } from '@runner/data/readers';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { folder } from '../support';

const dir = folder({});
let files = 0;
function file(ending: string, content: string | Uint8Array): string {
  const path = join(dir, `${files++}.${ending}`);
  writeFileSync(path, content);
  return path;
}

/** All rows as they are looked at, a few at a time from all over the file. */
async function looked(path: string): Promise<{ rows: SourceRow[]; problem: TuneyardError | undefined }> {
  const source = await openSource(path);
  try {
    await source.whole;
    const rows: SourceRow[] = [];
    for (let from = 0; from < source.rows; from += 3) rows.push(...(await source.read(from, 3)));
    expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: source.rows }, (_, i) => i));
    return { rows, problem: source.problem };
  } finally {
    await source.close();
  }
}

/** As training reads them. */
async function trained(path: string): Promise<{ rows: unknown[]; error: TuneyardError | undefined }> {
  const rows: unknown[] = [];
  try {
    for await (const row of readRows(path)) rows.push(row);
    return { rows, error: undefined };
  } catch (error) {
    return { rows, error: error as TuneyardError };
  }
}

/** Bytes of which files are made, and of which they break. */
const pieces = [
  '{"text":"a"}',
  '{"b":[1,"]"]}',
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\',
  ',',
  ':',
  '\n',
  '\r\n',
  '\r',
  ' ',
  'a',
  '1',
  'é',
  '\u00a0',
  '\u3000',
  '\ufeff',
  '\t',
  'null',
  '\0',
];
const content = fc
  .array(
    fc.oneof(
      fc.constantFrom(...pieces).map((text) => Buffer.from(text)),
      fc.constantFrom(Buffer.from([0xff]), Buffer.from([0xe3, 0x80])),
    ),
    {
      maxLength: 25,
    },
  )
  .map((parts) => Buffer.concat(parts));

describe('rows found by the index', () => {
  it.each(['jsonl', 'json', 'csv', 'tsv', 'txt'])(
    'are those that training reads from any %s file, sound or broken',
    async (ending) => {
      await fc.assert(
        fc.asyncProperty(content, async (bytes) => {
          const path = file(ending, bytes);
          const training = await trained(path);
          let seen: Awaited<ReturnType<typeof looked>>;
          try {
            seen = await looked(path);
          } catch (error) {
            // What cannot be opened, as without a header, training refuses too; of two faults each may meet another first.
            expect((error as TuneyardError).code).toMatch(/^(dataset_invalid|dataset_empty|encoding_invalid)$/);
            expect(training.error).toBeDefined();
            return;
          }
          const good = seen.rows.slice(0, seen.rows.findIndex(({ error }) => error) >>> 0);
          const plain = good.map(({ line, values }) => ({ line, values }));
          if (training.error === undefined) {
            expect(seen.problem).toBeUndefined();
            expect(seen.rows.find(({ error }) => error)).toBeUndefined();
            expect(plain).toEqual(training.rows);
          } else {
            // Every row that training came to is here as well, and that it broke off is shown.
            expect(plain.slice(0, training.rows.length)).toEqual(training.rows);
            const isShown = seen.rows.length === 0 || good.length < seen.rows.length || seen.problem !== undefined;
            expect(isShown || training.error.code).toBe(true);
          }
        }),
        { numRuns: 300 },
      );
    },
  );

  it('are the same however the file is cut into pieces, and from the middle on', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<ScannerKind>('lines', 'paragraphs', 'json', 'csv', 'tsv'),
        content,
        fc.array(fc.nat(40), { maxLength: 8 }),
        (kind, bytes, cuts) => {
          const scan = (from: { offset: number; line: number }, at: number[]) => {
            const found: number[][] = [];
            const scanner = createScanner(kind, from, (...record) => found.push(record));
            const edges = [from.offset, ...at.filter((cut) => cut > from.offset).sort((a, b) => a - b), bytes.length];
            for (let i = 1; i < edges.length; i++)
              scanner.push(bytes.subarray(edges[i - 1], Math.max(edges[i - 1]!, edges[i]!)));
            scanner.finish();
            return { found, problem: scanner.problem };
          };
          const whole = scan(FILE_START, []);
          expect(
            scan(
              FILE_START,
              cuts.filter((cut) => cut < bytes.length),
            ),
          ).toEqual(whole);
          for (const [i, [start, , line]] of whole.found.entries()) {
            expect(scan({ offset: start!, line: line! }, []).found).toEqual(whole.found.slice(i));
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('are found again by any of their lines', async () => {
    const rows = Array.from({ length: 300 }, (_, n) => (n % 3 ? `r${n},x` : `"r\n${n}\n",y`));
    const source = await openSource(file('csv', `text,n\n${rows.join('\n')}\n`));
    await source.whole;
    for (const row of [0, 1, 2, 3, 150, 297, 298, 299]) {
      const [found] = await source.read(row, 1);
      for (let line = found!.line; line <= found!.endLine; line++) expect(await source.rowAtLine(line)).toBe(row);
    }
    await source.close();
  });

  it('go on behind a quote that is never closed', async () => {
    const { rows } = await looked(file('csv', 'text,n\na,1\n"b,2\nc,3\n"d",4\n'));
    expect(rows.map(({ line, error }) => [line, error?.what.slice(0, 28)])).toEqual([
      [2, undefined],
      [3, 'a quote stands in the middle'],
    ]);
    const open = await looked(file('csv', 'text,n\na,1\n"b,2\nc,3\nd,4\n'));
    expect(open.rows.map(({ line, error }) => [line, error?.what.slice(0, 28)])).toEqual([
      [2, undefined],
      [3, 'a quote that opens here, or i'.slice(0, 28)],
      [4, undefined],
      [5, undefined],
    ]);
  });

  it('come from the cache when the file did not change, and not when it did', async () => {
    const line = `${JSON.stringify({ text: 'x'.repeat(500) })}\n`;
    const path = file('jsonl', line.repeat(10_000));
    expect((await looked(path)).rows.length).toBe(10_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const again = await openSource(path);
    expect([again.done, again.rows]).toEqual([true, 10_000]);
    await again.close();
    writeFileSync(path, line.repeat(10_001));
    expect((await looked(path)).rows.length).toBe(10_001);
  });
});

describe('bad input', () => {
  it('refuses a line of 200 MB with its number, in training and when it is looked at, and shows the rest', async () => {
    const path = file(
      'jsonl',
      Buffer.concat([
        Buffer.from('{"text":"a"}\n{"text":"'),
        Buffer.alloc(200 << 20, 'x'),
        Buffer.from('"}\n{"text":"c"}\n'),
      ]),
    );
    const { rows, problem } = await looked(path);
    expect(problem).toBeUndefined();
    expect(
      rows.map(({ line, endLine, values, error }) => [line, endLine, values?.text ?? error?.what.slice(0, 31)]),
    ).toEqual([
      [1, 1, 'a'],
      [2, 2, 'the row that begins here is lar'],
      [3, 3, 'c'],
    ]);
    expect((await trained(path)).error).toMatchObject({ code: 'dataset_invalid', place: { line: 2 } });
  });

  it('reads a JSON array that is too large for one string row by row', async () => {
    const row = { text: 'x'.repeat(1000), n: [1, { a: ']' }] };
    const count = 70_000;
    const one = JSON.stringify(row);
    const path = file('json', `[${Array.from({ length: count }, () => one).join(',\n')}]`);
    const { rows, error } = await trained(path);
    expect(error).toBeUndefined();
    expect(rows.length).toBe(count);
    expect(rows.at(-1)).toEqual({ line: count, values: row });
    writeFileSync(path, `[${Array.from({ length: count }, () => one).join(',\n')},\n{"text": x}]`);
    expect((await trained(path)).error).toMatchObject({
      code: 'dataset_invalid',
      place: { line: count + 1, column: 10 },
    });
  });

  it('takes nesting of any depth, and says where it breaks off', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    for (const ending of ['jsonl', 'json']) {
      const sound = file(ending, `{"text":"a"}\n{"text":"b","deep":${deep}}\n`);
      const { rows, error } = await trained(sound);
      expect([rows.length, error]).toEqual([2, undefined]);
      expect((await looked(sound)).rows.length).toBe(2);
      const broken = await trained(file(ending, `{"text":"a"}\n{"text":"b","deep":${deep.slice(1)}}\n`));
      expect(broken.error).toMatchObject({ code: 'dataset_invalid', place: { line: 2 } });
    }
    expect((await trained(file('json', `[{"text":"a","deep":${deep}},\n{"text":"b"}]`))).rows.length).toBe(2);
  });

  it('says that NaN is no JSON, as Python writes it', async () => {
    const { error } = await trained(file('jsonl', '{"text":"a"}\n{"text":"a","score":NaN}\n'));
    expect(error?.message).toMatch(/:2:21: this line is not valid JSON \(NaN is no JSON; write null\)/);
  });

  it('keeps NUL bytes, half characters, mixed types and lists of Parquet as they are', async () => {
    const { rows } = await looked(file('jsonl', '{"text":"a\\u0000b","n":1}\n{"text":"\\ud83d","n":"x"}\n'));
    expect(rows.map(({ values }) => values)).toEqual([
      { text: 'a\0b', n: 1 },
      { text: '\ud83d', n: 'x' },
    ]);
    expect((await looked(file('txt', 'a\0b\n\nc'))).rows.map(({ values }) => values)).toEqual([
      { text: 'a\0b' },
      { text: 'c' },
    ]);
    const columnData = [{ name: 'tags', data: [[['a'], []], [], [['b', 'c']]], type: 'JSON' as const }];
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 2 }));
    expect((await looked(file('parquet', bytes))).rows.map(({ values }) => values?.tags)).toEqual([
      [['a'], []],
      [],
      [['b', 'c']],
    ]);
  });
});
