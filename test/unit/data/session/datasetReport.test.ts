import { join } from 'node:path';
import type { DatasetReport, Finding, FindingKind } from '@protocol/dataset';
import { previewDataset } from '@runner/data/preview';
import { splitSamples } from '@runner/data/selectRows';
import { loadTokenizer } from '@runner/data/tokenizer';
import { afterEach, describe, expect, it } from 'vitest';
import { folder } from '../support';
import { opening, openSession, type TestSession } from './sessionSupport';

const example = join(__dirname, '../../../../examples/default');
const model = join(example, 'model');

let session: TestSession | undefined;
afterEach(async () => {
  await session?.close();
  session = undefined;
});

async function report(path: string, more: Record<string, unknown> = {}): Promise<DatasetReport> {
  await session?.close();
  session = await openSession();
  await session.peer.request('dataset/open', opening(path, { model, ...more }));
  return session.peer.request('dataset/report', {});
}

const jsonl = (rows: unknown[]) => folder({ 'data.jsonl': rows.map((row) => JSON.stringify(row)).join('\n') });
const found = (seen: DatasetReport, kind: FindingKind): Finding | undefined =>
  seen.findings.find((finding) => finding.kind === kind);
const sentence = (n: number) =>
  `The ${n} old men of the ${['north', 'south', 'east', 'west'][n % 4]} walked for ${n * 7} days to the ${n} towers of ${n * n}.`;

describe('the report on a whole data set', () => {
  it('counts what training is given: the same tokens, cuts and split as the other preview', async () => {
    const path = join(example, 'backstories.jsonl');
    const seen = await report(path, { max_length: 64, test_size: 0.1 });
    const tokenizer = await loadTokenizer(model);
    const other = await previewDataset(opening(path, { test_size: 0.1 }).dataset, {
      tokenizer,
      maxLength: 64,
      seed: 42,
      baseDir: example,
    });
    expect(seen).toMatchObject({ rows: other.rows, usable: other.stats.samples, train: other.train, eval: other.eval });
    expect(seen.tokens).toBe(other.stats.tokens);
    expect(seen.supervised).toBe(other.stats.supervised);
    expect(seen.truncated).toBe(other.stats.truncated);
    expect(seen.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(seen.usable);
    expect(session!.progress.at(-1)).toEqual({ done: seen.rows, total: seen.rows });
  });

  it('finds rows that say the same, and those that say nearly the same, once each', async () => {
    const rows = Array.from({ length: 30 }, (_, n) => ({
      text: `${sentence(n)} ${sentence(n + 50)} ${sentence(n + 99)}`,
    }));
    const near = { text: rows[3]!.text.replace('old men', 'OLD men').replace('towers', 'Towers,') };
    const dir = jsonl([...rows, rows[5], near, { text: 'short' }, { text: 'short' }]);
    const seen = await report(join(dir, 'data.jsonl'), { test_size: 0 });
    expect(found(seen, 'duplicate')).toMatchObject({
      count: 2,
      rows: [
        { row: 30, line: 31, with: 5 },
        { row: 33, with: 32 },
      ],
    });
    expect(found(seen, 'near_duplicate')).toMatchObject({ count: 1, rows: [{ row: 31, with: 3 }] });
  });

  it('finds held-out rows that are trained on, with the split of the run', async () => {
    const rows = Array.from({ length: 20 }, (_, n) => ({
      text: `${sentence(n)} ${sentence(n + 31)} ${sentence(n + 77)}`,
    }));
    const twice = [...rows, ...rows];
    const dir = jsonl(twice);
    const seen = await report(join(dir, 'data.jsonl'), { test_size: 0.2 });
    expect(seen).toMatchObject({ train: 32, eval: 8 });
    const { train, test } = splitSamples(40, opening('x.jsonl', { test_size: 0.2 }).dataset, 42);
    const leaked = [...test].filter((row) => train.includes((row + 20) % 40)).sort((a, b) => a - b);
    expect(found(seen, 'leakage')?.rows.map(({ row }) => row)).toEqual(leaked);
  });

  it('finds a held-out file’s rows in the training file', async () => {
    const rows = Array.from({ length: 8 }, (_, n) => ({ text: `${sentence(n)} ${sentence(n + 31)}` }));
    const dir = folder({
      'data.jsonl': rows.map((row) => JSON.stringify(row)).join('\n'),
      'test.jsonl': [rows[2], { text: sentence(99) }].map((row) => JSON.stringify(row)).join('\n'),
    });
    const seen = await report(join(dir, 'data.jsonl'), { test_path: join(dir, 'test.jsonl') });
    expect(seen).toMatchObject({ rows: 10, train: 8, eval: 2 });
    expect(found(seen, 'leakage')).toMatchObject({ count: 1, rows: [{ row: 8, line: 1, with: 2 }] });
  });

  it('names what cannot be used, what is cut, secrets, addresses and odd characters, with their lines', async () => {
    const text = [
      '{"text":"fine words here","target":" and more of them"}',
      '{"text":"no target","target":null}',
      '{"text": broken',
      '{"text":"one word","target":" yes"}',
      '{"text":"nothing","target":" "}',
      `{"text":"my key is AKIA${'A1B2C3D4'.repeat(2)} ok","target":" mail jane.doe@firm.io now"}`,
      '{"text":"cafÃ© au lait","target":" lost \ufffd here"}',
      '{"text":"NUL","target":" a b\\u0000c"}',
      `{"text":"long","target":"${' word'.repeat(100)}"}`,
    ].join('\n');
    const dir = folder({ 'data.jsonl': text });
    const seen = await report(join(dir, 'data.jsonl'), { test_size: 0, max_length: 64 });
    const lines = (kind: FindingKind) => found(seen, kind)?.rows.map(({ line }) => line);
    expect(lines('unusable')).toEqual([2, 3]);
    expect(lines('one_word_target')).toEqual([4]);
    expect(lines('empty_target')).toEqual([5]);
    expect(lines('secret')).toEqual([6]);
    expect(found(seen, 'secret')?.rows[0]?.detail).toBe('AWS access key: AKIAA1…');
    expect(lines('email')).toEqual([6]);
    expect(lines('encoding')).toEqual([7, 8]);
    expect(lines('truncated')).toEqual([9]);
    expect(seen.advice.join(' ')).toMatch(/fix or drop them/);
  });

  it('says where a file breaks off, behind which there may be more', async () => {
    const dir = folder({ 'data.json': '[{"text":"a b c d"},\n{"text":"e f g h"}\n{"text":"i j"}]' });
    const seen = await report(join(dir, 'data.json'), { test_size: 0 });
    expect(seen.rows).toBe(2);
    expect(seen.advice[0]).toMatch(/data\.json:3: comma expected; rows from here on cannot be read/);
  });

  it('comes from the cache when nothing changed, and not when a setting did', async () => {
    const path = join(jsonl(Array.from({ length: 9 }, (_, n) => ({ text: sentence(n) }))), 'data.jsonl');
    const first = await report(path, { max_length: 32 });
    expect(first.cached).toBe(false);
    expect(await report(path, { max_length: 32 })).toEqual({ ...first, cached: true });
    expect((await report(path, { max_length: 16 })).cached).toBe(false);
  });

  it('stops when it is cancelled, and when something else is opened', async () => {
    const dir = jsonl(Array.from({ length: 4000 }, (_, n) => ({ text: sentence(n).repeat(3) })));
    session = await openSession();
    const open = opening(join(dir, 'data.jsonl'), { model });
    await session.peer.request('dataset/open', open);
    const stop = new AbortController();
    const cancelled = session.peer.request('dataset/report', {}, stop.signal);
    stop.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const replaced = session.peer.request('dataset/report', {});
    // It may be over before the other one has answered.
    replaced.catch(() => {});
    await session.peer.request('dataset/open', open);
    await expect(replaced).rejects.toMatchObject({ code: 'cancelled' });
    expect((await session.peer.request('dataset/report', {})).rows).toBe(4000);
  });
});
