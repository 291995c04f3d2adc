import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadDataset } from '@runner/data/dataset';
import { planEpoch } from '@runner/data/sampler';
import { splitSamples } from '@runner/data/selectRows';
import { loadTokenizer } from '@runner/data/tokenizer';
import { afterEach, describe, expect, it } from 'vitest';
import { chapter, folder } from '../support';
import { opening, openSession, type TestSession } from './sessionSupport';

const example = join(__dirname, '../../../../examples/default');
const model = join(example, 'model');
const backstories = join(example, 'backstories.jsonl');

let session: TestSession | undefined;
afterEach(async () => {
  await session?.close();
  session = undefined;
});

describe('a dataset session', () => {
  it('shows exactly the tokens that training is given, for every row', async () => {
    session = await openSession();
    const lines = readFileSync(backstories, 'utf8').split('\n').slice(0, 40).join('\n');
    const dir = folder({ 'data.jsonl': lines });
    const open = opening(join(dir, 'data.jsonl'), { model, test_size: 0, max_length: 48 });
    const opened = await session.peer.request('dataset/open', open);
    const tokenizer = await loadTokenizer(model);
    const loaded = await loadDataset(open.dataset, { tokenizer, maxLength: 48, seed: 42, baseDir: dir });
    expect(opened.tokenizer?.vocab_size).toBe(tokenizer.vocabSize);
    for (const [row, trained] of loaded.train.entries()) {
      const seen = await session.peer.request('dataset/sample', { row });
      const kept = seen!.tokens.filter(({ cut }) => !cut);
      expect(kept.map(({ id }) => id)).toEqual([...trained.inputIds]);
      expect(kept.map(({ supervised }) => supervised)).toEqual(
        [...trained.labels].map((id, t) => t > 0 && id !== -100),
      );
      expect(seen!.truncated).toBe(trained.truncated);
      expect(seen!.line).toBe(trained.line);
      expect(seen!.length).toBe(seen!.tokens.length);
    }
  });

  it('lists rows that training would refuse with their reason, and goes on behind them', async () => {
    session = await openSession();
    const text = '{"text":"a b c"}\n{"text":\n\n[1]\n{"text":null}\n{"text":"d"}\n';
    const dir = folder({ 'data.jsonl': text });
    await session.peer.request('dataset/open', opening(join(dir, 'data.jsonl'), { model }));
    expect(await session.indexed()).toMatchObject({ rows: 5, done: true });
    const heads = await session.peer.request('dataset/rows', { from: 0, count: 50 });
    expect(heads.map(({ row, line }) => [row, line])).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
      [3, 5],
      [4, 6],
    ]);
    expect(heads.map(({ problem }) => problem?.slice(0, 24))).toEqual([
      undefined,
      'this line is not valid J',
      'this line holds no JSON ',
      'the row has no value for',
      undefined,
    ]);
    expect(heads[0]).toMatchObject({ words: 'a b c' });
    expect(heads[0]!.length).toBeGreaterThan(0);
  });

  it('says so too where files are mixed with weights and rows are filtered, once all rows were read', async () => {
    session = await openSession();
    const row = (i: number) => JSON.stringify({ text: `${i}: ${'w '.repeat(1 + ((i * 7) % 13))}`, n: i });
    const dir = folder({
      'a.jsonl': Array.from({ length: 20 }, (_, i) => row(i)).join('\n'),
      'b.jsonl': Array.from({ length: 15 }, (_, i) => row(20 + i)).join('\n'),
    });
    const mixed = { sources: [{ path: join(dir, 'b.jsonl'), weight: 2 }], filter: [{ column: 'n', min: 5 }] };
    const open = { ...opening(join(dir, 'a.jsonl'), { model, ...mixed }), batch_size: 4 };
    await session.peer.request('dataset/open', open);
    let heads = await session.peer.request('dataset/rows', { from: 0, count: 35 });
    await expect
      .poll(
        async () => {
          heads = await session!.peer.request('dataset/rows', { from: 0, count: 35 });
          return heads.filter(({ split }) => split !== undefined).length;
        },
        { timeout: 20_000 },
      )
      .toBe(30);
    expect(heads.slice(0, 5).map(({ left_out }) => left_out)).toEqual(Array(5).fill(true));
    const tokenizer = await loadTokenizer(model);
    const { train, eval: held } = await loadDataset(open.dataset, {
      tokenizer,
      maxLength: 512,
      seed: 42,
      baseDir: dir,
    });
    const lengths = (rows: readonly { inputIds: Int32Array }[]) => rows.map(({ inputIds }) => inputIds.length).sort();
    expect(
      heads
        .filter(({ split }) => split === 'eval')
        .map(({ length }) => length)
        .sort(),
    ).toEqual(lengths(held));
    // A row's first batch, as the run has it.
    const plan = planEpoch({ n: train.length, batchSize: 4, accumulation: 1, seed: 42, epoch: 0 }).flat();
    for (const { row, split, length } of heads.filter((head) => head.split === 'train').slice(0, 8)) {
      const mine = (i: number) => tokenizer.decode(train[i]!.inputIds).startsWith(`${row}:`);
      const batch = plan.find((samples) => samples.some(mine))!;
      const longest = Math.max(...batch.map((i) => train[i]!.inputIds.length));
      const seen = await session.peer.request('dataset/sample', { row });
      expect([split, seen?.padding]).toEqual(['train', longest - length!]);
    }
  });

  it('says which part of the data a row is in, and what padding it gets in its batch, as the run will have it', async () => {
    session = await openSession();
    const words = (n: number) => 'word '.repeat(1 + ((n * 7) % 23)).trim();
    const dir = folder({
      'data.jsonl': Array.from({ length: 30 }, (_, n) => JSON.stringify({ text: words(n) })).join('\n'),
    });
    const open = { ...opening(join(dir, 'data.jsonl'), { model, test_size: 0.2 }), batch_size: 4 };
    await session.peer.request('dataset/open', open);
    await session.indexed();
    const { train, test } = splitSamples(30, open.dataset, 42);
    const heads = await session.peer.request('dataset/rows', { from: 0, count: 30 });
    expect(heads.filter(({ split }) => split === 'eval').map(({ row }) => row)).toEqual(
      [...test].sort((a, b) => a - b),
    );
    expect(heads.filter(({ split }) => split === 'train').length).toBe(train.length);
    const plan = planEpoch({ n: train.length, batchSize: 4, accumulation: 1, seed: 42, epoch: 0 }).flat();
    for (const batch of plan) {
      const rows = batch.map((sample) => train[sample]!);
      const longest = Math.max(...rows.map((row) => heads[row]!.length!));
      for (const row of rows) {
        const seen = await session.peer.request('dataset/sample', { row });
        expect(seen?.padding).toBe(longest - seen!.length);
      }
    }
    expect((await session.peer.request('dataset/sample', { row: test[0]! }))?.padding).toBeUndefined();
  });

  it.each(['data.txt', 'data.jsonl'])('shows packed data in the blocks that are trained on (%s)', async (name) => {
    session = await openSession();
    const text = chapter.slice(0, 8000);
    const content = name.endsWith('txt')
      ? text
      : text
          .split('\n')
          .filter((line) => line.length > 20)
          .map((line) => JSON.stringify({ text: line }))
          .join('\n');
    const dir = folder({ [name]: content });
    const open = opening(join(dir, name), { model, pack: true, test_size: 0, max_length: 64 });
    await session.peer.request('dataset/open', open);
    const tokenizer = await loadTokenizer(model);
    const { train } = await loadDataset(open.dataset, { tokenizer, maxLength: 64, seed: 42, baseDir: dir });
    expect((await session.indexed()).rows).toBe(train.length);
    const heads = await session.peer.request('dataset/rows', { from: 0, count: 1000 });
    expect(heads.map(({ line, length, split }) => [line, length, split])).toEqual(
      train.map(({ line, inputIds }) => [line, inputIds.length, 'train']),
    );
    for (const [row, block] of train.entries()) {
      const seen = await session.peer.request('dataset/sample', { row });
      expect(seen?.tokens.map(({ id }) => id)).toEqual([...block.inputIds]);
    }
    const last = await session.peer.request('dataset/sample', { line: 10_000, source: 0 });
    expect(last?.row).toBe(train.length - 1);
  });

  it('finds the row under the cursor, also on the second line of a row', async () => {
    session = await openSession();
    const dir = folder({ 'data.csv': 'text,target\na,"x\ny\nz"\nb,w\n' });
    await session.peer.request('dataset/open', opening(join(dir, 'data.csv'), { model }));
    const at = async (line: number) => (await session!.peer.request('dataset/sample', { line, source: 0 }))?.row;
    expect([await at(1), await at(2), await at(4), await at(5), await at(9)]).toEqual([0, 0, 0, 1, undefined]);
    expect(await session.peer.request('dataset/sample', { row: 0 })).toMatchObject({ line: 2, end_line: 4 });
  });

  it('shows what an editor holds in place of the file, and the file again', async () => {
    session = await openSession();
    const dir = folder({ 'data.jsonl': '{"text":"saved words"}\n' });
    const path = join(dir, 'data.jsonl');
    const first = async () =>
      (await session!.peer.request('dataset/rows', { from: 0, count: 9 })).map(({ words }) => words);
    await session.peer.request('dataset/open', opening(path, { model, unsaved: '{"text":"new"}\n{"text":"newer"}' }));
    expect(await first()).toEqual(['new', 'newer']);
    await session.peer.request('dataset/open', opening(path, { model }));
    expect(await first()).toEqual(['saved words']);
  });

  it('says what is wrong with a file as training would', async () => {
    session = await openSession();
    const dir = folder({ 'data.jsonl': '\n', 'other.csv': 'a,b\n1,2\n' });
    const ask = (name: string) => session!.peer.request('dataset/open', opening(join(dir, name), { model }));
    await expect(ask('data.jsonl')).rejects.toMatchObject({ code: 'dataset_empty' });
    await expect(ask('none.jsonl')).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(ask('other.csv')).rejects.toMatchObject({ code: 'column_missing' });
  });
});
