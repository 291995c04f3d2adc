import { join } from 'node:path';
import { datasetSchema, type RowFilter } from '@protocol/recipe';
import { loadDataset } from '@runner/data/dataset';
import { rowFilter } from '@runner/data/rowFilter';
import { selectRows, splitSamples } from '@runner/data/selectRows';
import { afterEach, describe, expect, it } from 'vitest';
import { opening, openSession, type TestSession } from './session/sessionSupport';
import { folder, tokenizer } from './support';

const model = join(__dirname, '../../../examples/default/model');
const jsonl = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n');
const recipeOf = (more: object) => datasetSchema.parse({ path: 'a.jsonl', ...more });

let session: TestSession | undefined;
afterEach(async () => {
  await session?.close();
  session = undefined;
});

function project() {
  return folder({
    'a.jsonl': jsonl(Array.from({ length: 20 }, (_, n) => ({ text: `the first file has row ${n}`, stars: n % 5 }))),
    'b.jsonl': jsonl(Array.from({ length: 10 }, (_, n) => ({ text: `another file has row ${n}`, stars: 5 }))),
  });
}

async function load(dir: string, more: object) {
  const options = { tokenizer, maxLength: 512, seed: 3, baseDir: dir };
  const { train, eval: held } = await loadDataset(recipeOf({ append_eos: false, ...more }), options);
  const texts = (samples: typeof train) => samples.map(({ inputIds }) => tokenizer.decode(inputIds));
  return { train: texts(train), held: texts(held) };
}

describe('a filter', () => {
  it.each<[Omit<RowFilter, 'column'>, unknown, boolean]>([
    [{ equals: 'x' }, 'x', true],
    [{ equals: 3 }, '3', true],
    [{ equals: '3' }, 3, false],
    [{ not_equals: 'x' }, undefined, true],
    [{ not_equals: true }, 'true', false],
    [{ min: 2, max: 4 }, 4, true],
    [{ min: 2 }, '1.5', false],
    [{ min: 0 }, 'many', false],
    [{ max: 4 }, undefined, false],
    [{ min_length: 2 }, '漢字', true],
    [{ max_length: 1 }, '👩', true],
    [{ min_length: 3 }, ['a', 'b'], false],
    [{ matches: '^a.c$' }, 'abc', true],
    [{ matches: 'a' }, 5, false],
    [{ not_matches: 'http' }, 'see http://x', false],
    [{ not_matches: 'http' }, null, true],
  ])('%j lets %j through: %s', (condition, value, wanted) => {
    const keeps = rowFilter([{ column: 'c', ...condition }]);
    expect(keeps?.({ c: value })).toBe(wanted);
  });

  it('takes rows out of training and of evaluation, and says so when none is left', async () => {
    const dir = project();
    const { train, held } = await load(dir, {
      filter: [
        { column: 'stars', min: 3 },
        { column: 'text', not_matches: '19' },
      ],
    });
    const rows = [...train, ...held].map((text) => Number(/\d+$/.exec(text)?.[0])).sort((a, b) => a - b);
    expect(rows).toEqual([3, 4, 8, 9, 13, 14, 18]);
    await expect(load(dir, { filter: [{ column: 'stars', min: 30 }] })).rejects.toThrow(/the filter leaves no row/);
    expect(() => recipeOf({ filter: [{ column: 'a', matches: '(' }] })).toThrow(/regular expression/);
  });
});

describe('several files', () => {
  it('are mixed, and held out of, as one', async () => {
    const { train, held } = await load(project(), { sources: [{ path: 'b.jsonl' }], test_size: 0.2 });
    expect([train.length, held.length]).toEqual([24, 6]);
    expect(new Set([...train, ...held]).size).toBe(30);
    expect(train.some((text) => text.startsWith('another'))).toBe(true);
  });

  it('are used as often as their weights say; what is held out stays held out, once', async () => {
    const dir = project();
    const plain = await load(dir, { sources: [{ path: 'b.jsonl' }], test_size: 0.2 });
    const { train, held } = await load(dir, { weight: 0.5, sources: [{ path: 'b.jsonl', weight: 2 }], test_size: 0.2 });
    expect(held).toEqual(plain.held);
    const count = (text: string) => train.filter((one) => one === text).length;
    for (const text of plain.train) expect(count(text)).toBe(text.startsWith('another') ? 2 : Math.min(1, count(text)));
    const first = train.filter((text) => text.startsWith('the first')).length;
    expect(first).toBeGreaterThan(2);
    expect(first).toBeLessThan(15);
    expect((await load(dir, { weight: 0.5, sources: [{ path: 'b.jsonl', weight: 2 }], test_size: 0.2 })).train).toEqual(
      train,
    );
  });

  it('change nothing where there is one file without a weight', () => {
    const recipe = recipeOf({ test_size: 0.25 });
    expect(selectRows([40], recipe, 9)).toEqual(splitSamples(40, recipe, 9));
  });

  it('name the file of a row that is broken, and refuse what is not alike', async () => {
    const dir = folder({
      'a.jsonl': jsonl([{ text: 'a b c' }, { text: 'd e f' }]),
      'b.jsonl': jsonl([{ text: 'fine words' }, { text: null }]),
      'c.jsonl': jsonl([{ messages: [{ role: 'user', content: 'x' }] }]),
    });
    await expect(load(dir, { sources: [{ path: 'b.jsonl' }] })).rejects.toMatchObject({
      place: { file: join(dir, 'b.jsonl'), line: 2 },
    });
    await expect(load(dir, { sources: [{ path: 'c.jsonl' }] })).rejects.toThrow(
      /in the format "messages", those of .* in "text"/,
    );
    await expect(load(dir, { weight: 2, pack: true })).rejects.toMatchObject({ code: 'recipe_invalid' });
  });

  it('are looked at as they are trained on: the same rows, parts and tokens', async () => {
    const dir = project();
    const more = { sources: [{ path: join(dir, 'b.jsonl'), weight: 2 }], weight: 0.5, test_size: 0.2 };
    const filter = [{ column: 'stars', not_equals: 1 }];
    session = await openSession();
    const open = { ...opening(join(dir, 'a.jsonl'), { ...more, filter, model }), seed: 3 };
    const opened = await session.peer.request('dataset/open', open);
    expect(opened.sources.map(({ weight }) => weight)).toEqual([0.5, 2]);
    const report = await session.peer.request('dataset/report', {});
    const { loadTokenizer } = await import('@runner/data/tokenizer');
    const own = { tokenizer: await loadTokenizer(model), maxLength: 512, seed: 3, baseDir: dir };
    const { train, eval: held } = await loadDataset(open.dataset, own);
    expect(report).toMatchObject({ rows: 30, usable: 26, train: train.length, eval: held.length });
    expect(report.advice[0]).toBe('The filter leaves out 4 of 30 rows.');
    const heads = await session.peer.request('dataset/rows', { from: 0, count: 40 });
    expect(heads.filter(({ left_out }) => left_out).map(({ row }) => row)).toEqual([1, 6, 11, 16]);
    expect(heads[20]).toMatchObject({ row: 20, source: 1, line: 1, words: 'another file has row 0' });

    await session.peer.request('dataset/open', { ...opening(join(dir, 'a.jsonl'), { ...more, model }), seed: 3 });
    const parts = await session.peer.request('dataset/rows', { from: 0, count: 40 });
    const { test } = selectRows([20, 10], recipeOf(more), 3);
    expect(parts.filter(({ split }) => split === 'eval').map(({ row }) => row)).toEqual(
      [...test].sort((a, b) => a - b),
    );
  });
});
