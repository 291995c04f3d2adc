import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type ReadOptions, type Row, readRows } from '@runner/data/readers';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, describe, expect, it } from 'vitest';

const dir = mkdtempSync(join(tmpdir(), 'readers-'));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;

function file(ending: string, content: string | Uint8Array): string {
  const path = join(dir, `${files++}.${ending}`);
  writeFileSync(path, content);
  return path;
}

async function rows(path: string, options?: ReadOptions): Promise<Row[]> {
  const all: Row[] = [];
  for await (const row of readRows(path, options)) all.push(row);
  return all;
}

const read = (ending: string, content: string | Uint8Array, options?: ReadOptions) =>
  rows(file(ending, content), options);

function message(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => {
      throw new Error('nothing failed');
    },
    (error: Error) => error.message.replace(`${dir}/`, ''),
  );
}

const expected = [
  { line: 2, values: { text: 'a', target: 'x' } },
  { line: 3, values: { text: 'b\n"c"', target: 'ü, 漢' } },
];

describe('every format', () => {
  it('gives the same rows, with the lines they stand on', async () => {
    const json = '[\n{"text":"a","target":"x"},\n{"text":"b\\n\\"c\\"","target":"ü, 漢"}]';
    expect(await read('json', json)).toEqual(expected);
    expect(await read('json', `{"version": 1, "data": ${json}}`)).toEqual(expected);
    expect(await read('jsonl', `\n${json.slice(2, -1).replace('},', '}')}`)).toEqual(expected);
    expect(await read('csv', 'text,target\na,x\n"b\n""c""","ü, 漢"\n')).toEqual(expected);
    expect(await read('tsv', 'text\ttarget\na\tx\n"b\n""c"""\tü, 漢\n')).toEqual(expected);
  });

  it('takes a byte order mark and CRLF as if they were not there', async () => {
    expect(await read('csv', '\ufefftext,target\r\na,x\r\n"b\n""c""","ü, 漢"\r\n')).toEqual(expected);
    expect((await read('jsonl', '\ufeff{"text":"a"}\r\n\r\n{"text":"b"}\r\n')).map((row) => row.line)).toEqual([1, 3]);
    expect(await read('json', '\ufeff["a"]')).toEqual([{ line: 1, values: { text: 'a' } }]);
    expect(await read('txt', '\ufeffa\r\nb\r\n')).toEqual([{ line: 1, values: { text: 'a\nb' } }]);
  });

  it('names file and line of bytes that are not UTF-8 instead of training on “�”', async () => {
    const latin1 = (text: string) => Buffer.from(text, 'latin1');
    for (const ending of ['jsonl', 'json', 'csv', 'tsv', 'txt']) {
      const error = rows(file(ending, latin1('"text"\n"b"\n"caf\xe9"\n')));
      await expect(error).rejects.toMatchObject({ code: 'encoding_invalid', place: { line: 3 } });
    }
    expect(await message(read('txt', Buffer.from('\ufeffhello', 'utf16le')))).toMatch(/UTF-16; save it as UTF-8/);
  });

  it('says that a file is missing, a folder, of no known kind, or empty', async () => {
    for (const ending of ['json', 'jsonl', 'csv', 'txt', 'parquet']) {
      await expect(rows(join(dir, `none.${ending}`))).rejects.toMatchObject({ code: 'file_not_found' });
    }
    for (const ending of ['json', 'jsonl', 'csv', 'tsv', 'txt']) {
      await expect(read(ending, '')).rejects.toMatchObject({ code: 'dataset_empty' });
      await expect(read(ending, '\n\n')).rejects.toMatchObject({ code: 'dataset_empty' });
    }
    await expect(read('csv', 'text,target\n')).rejects.toMatchObject({ code: 'dataset_empty' });
    await expect(read('json', '[]')).rejects.toMatchObject({ code: 'dataset_empty' });
    expect(await message(read('xlsx', 'PK'))).toMatch(/known are \.json, .*\.parquet/);
  });

  it('stops when it is cancelled', async () => {
    const abort = new AbortController();
    const path = file('jsonl', '{"text":"a"}\n'.repeat(1000));
    const reading = (async () => {
      for await (const row of readRows(path, { signal: abort.signal })) if (row.line === 10) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
    await expect(rows(file('csv', 'text\na\n'), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});

describe('JSON', () => {
  it('points at the line and column that are broken', async () => {
    const lines = Array.from({ length: 9 }, (_, i) => `{"text": "row ${i}"}`);
    lines[6] = '{"text": "row" "x"}';
    expect(await message(read('jsonl', lines.join('\n')))).toMatch(/\.jsonl:7:16: this line is not valid JSON \(/);
    expect(await message(read('json', `[\n${lines.slice(1).join(',\n')}]`))).toMatch(/\.json:7:16: this is not valid/);
    expect(await message(read('json', '[{"text": "a"},\n'))).toMatch(/\.json:2/);
    expect(await message(read('jsonl', '{"text": "a"}\n{"text": "b", \n'))).toMatch(
      /\.jsonl:2:\d+: this line is not valid/,
    );
  });

  it('reads JSON Lines under the wrong ending', async () => {
    const text = '{"text":"a"}\n{"text":"b"}\n';
    expect(await read('json', text)).toEqual(await read('jsonl', text));
    expect(await read('json', '{"text":"a"}\n')).toEqual([{ line: 1, values: { text: 'a' } }]);
    expect(await message(read('json', '{"text":"a"}\n{"text":"b}\n'))).toMatch(/\.json:2/);
  });

  it('refuses what holds no rows and says what would', async () => {
    expect(await message(read('json', '{"a": [{}], "b": [{}]}'))).toMatch(/array of objects/);
    expect(await message(read('json', '[{"text": "a"},\n 5]'))).toMatch(/:2: element 2 of the array is no object/);
    expect(await message(read('jsonl', '{"text":"a"}\n[1]\n'))).toMatch(/:2: this line holds no JSON object/);
  });

  it('keeps the line right when rows hold arrays and objects of their own', async () => {
    const content = '[{"text":"a","meta":{"tags":["x",\n"y",{"z":[1]}]}},\n\n{"text":"b"}]';
    expect((await read('json', content)).map((row) => row.line)).toEqual([1, 4]);
  });

  it('gives any values back, and each on its own line', async () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const row = fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      value,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 5 }), async (values) => {
        // -0 is written as 0
        const plain = values.map((one) => JSON.parse(JSON.stringify(one)) as Record<string, unknown>);
        const wanted = plain.map((one, i) => ({ line: i + 1, values: one }));
        expect(await read('jsonl', plain.map((one) => JSON.stringify(one)).join('\n'))).toEqual(wanted);
        expect(await read('json', `[${plain.map((one) => JSON.stringify(one)).join(',\n')}]`)).toEqual(wanted);
      }),
      { numRuns: 50 },
    );
  });
});

describe('CSV', () => {
  it('gives any fields back, with the right line behind quoted line breaks', async () => {
    const quote = (field: string) => `"${field.replaceAll('"', '""')}"`;
    const field = fc.string({ unit: fc.constantFrom('a', ' ', ',', '"', '\n', '\r\n', 'ü', '漢', '\t') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 4 }),
        fc.constantFrom('\n', '\r\n'),
        async (records, ending) => {
          const lines = records.map((record) => record.map(quote).join(',') + ending);
          let line = 2;
          const wanted = records.map(([text, target], i) => {
            const row = { line, values: { text, target } };
            line += lines[i]!.split('\n').length - 1;
            return row;
          });
          expect(await read('csv', `text,target${ending}${lines.join('')}`)).toEqual(wanted);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('points at the row that does not fit and says how to mend it', async () => {
    expect(await message(read('csv', 'a,b\n1,2\n\n1,2,3\n'))).toMatch(/:4: this row has 3 fields/);
    expect(await message(read('csv', 'a,b\n1,2\n1,"2\n1,2\n'))).toMatch(/:3: a quote that opens here/);
    expect(await message(read('csv', 'a,b\n1,2\n1,x"2"\n'))).toMatch(/:3: a quote stands in the middle/);
    expect(await message(read('csv', 'a,b,a\n1,2,3\n'))).toMatch(/:1: the header line names the column "a" twice/);
    expect(await message(read('csv', 'a,\n1,2\n'))).toMatch(/:1: the header line has a column without a name/);
  });
});

describe('plain text', () => {
  const novel = '\nCall me\nIshmael.\n\n \nSome years ago\n\n';

  it('is a row a paragraph', async () => {
    expect(await read('txt', novel)).toEqual([
      { line: 2, values: { text: 'Call me\nIshmael.' } },
      { line: 6, values: { text: 'Some years ago' } },
    ]);
  });

  it('is one row, exactly as it is, for pretraining', async () => {
    expect(await read('txt', novel, { textRows: 'document' })).toEqual([{ line: 1, values: { text: novel } }]);
  });

  it('keeps letters whole that lie across two chunks of the file', async () => {
    const text = 'é漢'.repeat(400_000);
    expect((await read('txt', text))[0]?.values.text).toBe(text);
  });
});

describe('Parquet', () => {
  const columnData = [
    { name: 'text', data: ['a', 'b', 'ü'], type: 'STRING' as const },
    { name: 'stars', data: [1, 2, 3], type: 'INT32' as const },
  ];

  it('gives the rows with their numbers, over row groups and however they are compressed', async () => {
    const wanted = ['a', 'b', 'ü'].map((text, i) => ({ line: i + 1, values: { text, stars: i + 1 } }));
    const compressors = { GZIP: (bytes: Uint8Array) => gzipSync(bytes) };
    for (const codec of ['SNAPPY', 'GZIP', 'UNCOMPRESSED'] as const) {
      const bytes = parquetWriteBuffer({ columnData, codec, compressors, rowGroupSize: 2 });
      expect(await read('parquet', new Uint8Array(bytes))).toEqual(wanted);
    }
  });

  it('says that a file is cut short', async () => {
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData }));
    expect(await message(read('parquet', bytes.subarray(0, bytes.length - 20)))).toMatch(/not a readable Parquet file/);
    expect(await message(read('parquet', ''))).toMatch(/not a readable Parquet file/);
  });
});
