import { join } from 'node:path';
import { datasetSchema } from '@protocol/recipe';
import { loadDataset } from '@runner/data/dataset';
import { previewDataset } from '@runner/data/preview';
import { planEpoch } from '@runner/data/sampler';
import type { Sample } from '@runner/data/tokenize';
import { describe, expect, it } from 'vitest';
import { chapter, folder, tokenizer } from './support';

const rows = Array.from({ length: 40 }, (_, i) => ({ text: `sailor ${i}`, target: `went to sea ${i}` }));
const jsonl = (all: object[]) => all.map((row) => `${JSON.stringify(row)}\n`).join('');
const dir = folder({
  'train.jsonl': jsonl(rows),
  'test.jsonl': jsonl(rows.slice(0, 4)),
  'novel.txt': chapter,
  'one.jsonl': jsonl(rows.slice(0, 1)),
  'holes.jsonl': `${jsonl([rows[0]!, { text: '', target: '' }, { text: 'a', target: 'b' }])}{"text":"","target":""}\n`,
  'null.jsonl': `${jsonl(rows.slice(0, 2))}{"text":"a"}\n`,
});
const recipe = (more: object) => datasetSchema.parse({ path: 'train.jsonl', ...more });
const load = (more: object, options: object = {}) =>
  loadDataset(recipe(more), { tokenizer, maxLength: 64, seed: 1, baseDir: dir, ...options });
const lines = (samples: Sample[]) => samples.map(({ line }) => line);
const sorted = (numbers: number[]) => [...numbers].sort((a, b) => a - b);

describe('loadDataset', () => {
  it('holds out a share that never trains, the same one each time', async () => {
    const { train, eval: held, warnings, path } = await load({ test_size: 0.25 });
    expect(held).toHaveLength(10);
    expect(sorted(lines([...train, ...held]))).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(warnings).toEqual([]);
    expect(path).toBe(join(dir, 'train.jsonl'));
    expect(await load({ test_size: 0.25 })).toEqual(await load({ test_size: 0.25 }));
    expect(lines((await load({ test_size: 0.25 }, { seed: 2 })).eval)).not.toEqual(lines(held));
  });

  it('takes a subset of either part without moving a row from one to the other', async () => {
    const all = await load({});
    const few = await load({ max_train_samples: 5, max_eval_samples: 2 });
    expect(few.train).toEqual(all.train.slice(0, 5));
    expect(few.eval).toEqual(all.eval.slice(0, 2));
  });

  it('evaluates on a file of its own where there is one, and trains on all of the first', async () => {
    const { train, eval: held } = await load({ test_path: 'test.jsonl' });
    expect(lines(train)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(held.map(({ inputIds }) => [...inputIds])).toEqual(train.slice(0, 4).map(({ inputIds }) => [...inputIds]));
  });

  it('evaluates on several files of their own, as many rows as asked for', async () => {
    const all = await load({ test_path: ['test.jsonl', 'one.jsonl'] });
    expect(lines(all.eval)).toEqual([1, 2, 3, 4, 1]);
    const few = await load({ test_path: ['one.jsonl', 'test.jsonl'], max_eval_samples: 3 });
    expect(lines(few.eval)).toEqual([1, 1, 2]);
  });

  it('keeps the order of the data where nothing is to be shuffled, with the same rows held out', async () => {
    const mixed = await load({});
    const { train, eval: held } = await load({ shuffle: false });
    expect(lines(train)).toEqual(sorted(lines(mixed.train)));
    expect(lines(held)).toEqual(lines(mixed.eval));
    const plan = [0, 1].map((epoch) =>
      planEpoch({ n: train.length, batchSize: 4, accumulation: 2, seed: 1, epoch, shuffle: false }).flat(2),
    );
    expect(plan).toEqual([train.map((_, i) => i), train.map((_, i) => i)]);
  });

  it('takes just a path for a dataset', async () => {
    const options = { tokenizer, maxLength: 64, seed: 1, baseDir: dir };
    expect(await loadDataset('train.jsonl', options)).toEqual(await load({}));
  });

  it('warns of what is cut off, of missing evaluation, and of a tokenizer without an end', async () => {
    expect((await load({}, { maxLength: 12 })).warnings).toEqual([
      expect.stringMatching(/^\d+ of 36 training samples \(\d+\.\d%\) are longer than max_length 12/),
    ]);
    const one = await load({ path: 'one.jsonl' });
    expect(one.train).toHaveLength(1);
    expect(one.warnings).toEqual([expect.stringMatching(/no evaluation/)]);
    const endless = Object.assign(Object.create(tokenizer), { eosTokenId: undefined });
    expect((await load({}, { tokenizer: endless })).warnings).toEqual([expect.stringMatching(/no end-of-sequence/)]);
  });

  it('refuses rows that train on nothing, all in one message with their lines', async () => {
    const refused = load({ path: 'holes.jsonl', append_eos: false, test_size: 0 });
    await expect(refused).rejects.toMatchObject({
      code: 'no_supervised_tokens',
      message: expect.stringMatching(/holes\.jsonl:2: 2 rows train on nothing \(lines 2, 4\)/),
      data: { lines: [2, 4] },
    });
    await expect(load({ path: 'null.jsonl', test_size: 0 })).rejects.toMatchObject({
      code: 'dataset_invalid',
      message: expect.stringMatching(/null\.jsonl:3: the row has no value for the column "target"/),
    });
    await expect(load({ test_size: 1 })).rejects.toMatchObject({ code: 'dataset_empty' });
    await expect(load({}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('packs a whole novel into full blocks for pretraining, whose lines are where they begin', async () => {
    const { train, eval: held } = await load({ path: 'novel.txt', pack: true, test_size: 0 });
    expect(held).toEqual([]);
    const text = train.map(({ inputIds }) => tokenizer.decode(inputIds)).join('');
    // Whole characters may lie across two blocks; this chapter is plain ASCII but for a few.
    const plain = (value: string) => value.replace(/[^\n -~]/g, '').replaceAll('\r', '');
    expect(plain(text)).toBe(plain(`${chapter}<|endoftext|>`));
    for (const block of train.slice(0, -1)) expect(block.inputIds).toHaveLength(64);
    const middle = train[30]!;
    const before = train.slice(0, 30).map(({ inputIds }) => tokenizer.decode(inputIds));
    expect(middle.line).toBe(before.join('').split('\n').length);

    const split = await load({ path: 'novel.txt', pack: true, test_size: 0.1, max_train_samples: 7 });
    expect(split.train).toHaveLength(7);
    expect(split.eval).toHaveLength(Math.ceil(train.length * 0.1));
  });
});

describe('previewDataset', () => {
  const preview = (more: object, options: object = {}) =>
    previewDataset(recipe(more), { tokenizer, maxLength: 64, seed: 1, baseDir: dir, ...options });

  it('shows just what training sees', async () => {
    const shown = await preview({ template: '{text} {target}' }, { samples: 2 });
    const { train, eval: held } = await load({ template: '{text} {target}' });
    expect(shown).toMatchObject({
      format: 'JSON Lines',
      rows: 40,
      columns: ['text', 'target'],
      template: '{text} {target}',
      targetColumn: 'target',
      train: train.length,
      eval: held.length,
      unusable: { count: 0, rows: [] },
    });
    const first = [...train, ...held].find(({ line }) => line === 1)!;
    const [sample] = shown.samples;
    expect(shown.samples).toHaveLength(2);
    expect(sample?.tokens.map(({ id }) => id)).toEqual([...first.inputIds]);
    expect(sample?.tokens.map(({ supervised }) => supervised)).toEqual([...first.labels].map((label) => label >= 0));
    const learned = sample?.tokens.filter(({ supervised }) => supervised).map(({ text }) => text);
    expect(learned?.join('')).toBe(' went to sea 0<|endoftext|>');
    // What goes to the panel must survive JSON.
    expect(JSON.parse(JSON.stringify(shown))).toEqual(shown);
  });

  it('lists the rows training would refuse instead of hiding them', async () => {
    const { unusable, stats, rows: count } = await preview({ path: 'holes.jsonl', append_eos: false });
    expect(count).toBe(4);
    expect(stats.samples).toBe(2);
    expect(unusable).toEqual({
      count: 2,
      rows: [
        { line: 2, reason: expect.stringMatching(/no text/) },
        { line: 4, reason: expect.stringMatching(/no text/) },
      ],
    });
    expect((await preview({ path: 'null.jsonl' })).unusable.rows).toEqual([
      { line: 3, reason: expect.stringMatching(/no value for the column "target"/) },
    ]);
  });

  it('counts packed blocks as what they are', async () => {
    const { stats, train } = await preview({ path: 'novel.txt', pack: true, test_size: 0, max_train_samples: 3 });
    expect(stats.lengths.median).toBe(64);
    expect(train).toBe(3);
  });

  it('fails as training does when the file itself is wrong', async () => {
    await expect(preview({ path: 'none.jsonl' })).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(preview({ template: '{txt}' })).rejects.toMatchObject({ code: 'column_missing' });
  });
});
