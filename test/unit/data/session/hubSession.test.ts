/** A dataset on the hub is looked at where it lies, and trained on from the cache. */
import { join } from 'node:path';
import { datasetSchema } from '@protocol/recipe';
import { loadDataset } from '@runner/data/dataset';
import { loadTokenizer } from '@runner/data/tokenizer';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { StandInHub } from '../../hub/standInHub';
import { folder } from '../support';
import { opening, openSession, type TestSession } from './sessionSupport';

const model = join(__dirname, '../../../../examples/default/model');
const repo = 'datasets/someone/stories';
const path = `hf://${repo}`;
const words = (i: number) => `story ${i} ${Math.imul(i, 0x9e3779b1) >>> 0} ${'x'.repeat(i % 90)}`;

let session: TestSession | undefined;
let hub: StandInHub;
let before: Record<string, string | undefined>;

beforeEach(async () => {
  const rows = (from: number, count: number) => {
    const data = Array.from({ length: count }, (_, i) => words(from + i));
    return Buffer.from(
      parquetWriteBuffer({ columnData: [{ name: 'text', data }], rowGroupSize: 2_000, codec: 'UNCOMPRESSED' }),
    );
  };
  hub = new StandInHub(
    repo,
    new Map([
      ['data/train-00000-of-00002.parquet', rows(0, 60_000)],
      ['data/train-00001-of-00002.parquet', rows(60_000, 500)],
      ['data/test-00000-of-00001.parquet', rows(90_000, 20)],
      ['small.jsonl', Buffer.from('{"text":"one two"}\n{"text":"three"}\n')],
    ]),
  );
  await hub.start();
  const { HF_ENDPOINT, TUNEYARD_CACHE } = process.env;
  before = { HF_ENDPOINT, TUNEYARD_CACHE };
  process.env.HF_ENDPOINT = hub.endpoint;
  process.env.TUNEYARD_CACHE = folder({});
});

afterEach(async () => {
  await session?.close();
  session = undefined;
  await hub.stop();
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

it('shows rows of a large Parquet file without fetching all of it', async () => {
  session = await openSession();
  const opened = await session.peer.request('dataset/open', opening(path, { model }));
  expect(opened.hub).toEqual({ configs: ['default'], splits: ['test', 'train'], config: 'default', split: 'train' });
  expect(opened.rows).toBe(60_500);
  const size = hub.files.get('data/train-00000-of-00002.parquet')!.length;
  expect(size).toBeGreaterThan(3_000_000);
  const [first] = await session.peer.request('dataset/rows', { from: 0, count: 1 });
  expect(first?.words).toBe(words(0).trim());
  const asked = () =>
    hub.fetches('data/train-00000-of-00002.parquet').reduce((bytes, { range }) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range ?? '') ?? [];
      return bytes + (Number(to ?? size) - Number(from ?? 0));
    }, 0);
  expect(asked()).toBeLessThan(size / 1.4);
  // Behind the first file's end, and in its middle.
  const [last] = await session.peer.request('dataset/rows', { from: 60_400, count: 1 });
  expect(last).toMatchObject({ source: 1, words: words(60_400).trim() });
  const sample = await session.peer.request('dataset/sample', { row: 2_000 });
  expect(sample?.parts.map(({ text }) => text).join('')).toContain(words(2_000).trim());
});

it('looks at the whole set after fetching it, once', async () => {
  session = await openSession();
  await session.peer.request('dataset/open', opening(`${path}/data/train-00001-of-00002.parquet`, { model }));
  const report = await session.peer.request('dataset/report', {});
  expect(report.rows).toBe(500);
  const whole = hub.fetches('data/train-00001-of-00002.parquet').filter(({ range }) => range === undefined);
  expect(whole).toHaveLength(1);
  const again = hub.requests.length;
  await session.peer.request('dataset/open', opening(`${path}/data/train-00001-of-00002.parquet`, { model }));
  expect((await session.peer.request('dataset/report', {})).cached).toBe(true);
  expect(hub.requests.length).toBe(again);
});

it('shows what is trained on: the split, with another one held out', async () => {
  session = await openSession();
  const dataset = datasetSchema.parse({ path: `${path}/data/train-00001*`, test_path: path, weight: 2 });
  const tokenizer = await loadTokenizer(model);
  const loaded = await loadDataset(dataset, { tokenizer, maxLength: 32, seed: 42, baseDir: '/' });
  expect(loaded.eval).toHaveLength(20);
  expect(loaded.train).toHaveLength(1000);
  await session.peer.request('dataset/open', { ...opening(path, { model, max_length: 32 }), dataset });
  const [head] = await session.peer.request('dataset/rows', { from: 500, count: 1 });
  expect(head).toMatchObject({ split: 'eval', words: words(90_000).trim() });
  const seen = await session.peer.request('dataset/sample', { row: 500 });
  expect(seen!.tokens.filter(({ cut }) => !cut).map(({ id }) => id)).toEqual([...loaded.eval[0]!.inputIds]);
});

it('fetches other formats whole, and mixes them with files', async () => {
  session = await openSession();
  const dir = folder({ 'here.jsonl': '{"text":"four"}\n' });
  const dataset = datasetSchema.parse({ path: join(dir, 'here.jsonl'), sources: [{ path: `${path}/small.jsonl` }] });
  await session.peer.request('dataset/open', { ...opening(path, { model }), dataset });
  expect(await session.indexed()).toMatchObject({ rows: 3, done: true });
  const heads = await session.peer.request('dataset/rows', { from: 0, count: 5 });
  expect(heads.map((head) => head.words)).toEqual(['four', 'one two', 'three']);
});

it('says that a split is for the hub where the data is a file', async () => {
  session = await openSession();
  const dataset = datasetSchema.parse({ path: join(folder({ 'a.jsonl': '{"text":"a"}' }), 'a.jsonl'), split: 'train' });
  const open = session.peer.request('dataset/open', { ...opening(path, { model }), dataset });
  await expect(open).rejects.toMatchObject({ code: 'recipe_invalid', data: { key: 'dataset.split' } });
});
