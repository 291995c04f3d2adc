import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareJson, compareMarkdown } from '@host/panels/compareExport';
import { jobArguments, madeWith, planJobs } from '@host/panels/compareJobs';
import { DEFAULT_SAMPLING } from '@host/panels/compareModel';
import { appendPreference } from '@host/panels/preferences';
import type { CompareModel, CompareState } from '@protocol/panels';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const model = (id: string, host = 'local'): CompareModel => ({
  id,
  host,
  hostLabel: host,
  path: `/models/${id}`,
  kind: 'checkpoint',
  label: id,
});
const prompts = ['one', 'two'].map((text, i) => ({ id: String(i), text }));

describe('the jobs of a comparison', () => {
  it('are one a host where everything is to be written, and only what is missing otherwise', () => {
    const models = [model('a'), model('b'), model('c', 'ssh:gpu')];
    const all = planJobs(models, prompts, () => true);
    expect(all.map(({ host, models, prompts }) => [host, models.map(({ id }) => id), prompts.length])).toEqual([
      ['local', ['a', 'b'], 2],
      ['ssh:gpu', ['c'], 2],
    ]);
    const some = planJobs(models, prompts, (prompt, of) => of === 'a' || (of === 'b' && prompt === '1'));
    expect(some.map(({ models, prompts }) => [models.map(({ id }) => id), prompts.map(({ id }) => id)])).toEqual([
      [['a'], ['0', '1']],
      [['b'], ['1']],
    ]);
  });

  it('pass a prompt on whatever it begins with', () => {
    const job = { host: 'local', models: [model('a')], prompts: [{ id: '0', text: '--json is\nan option' }] };
    const argv = jobArguments(job, DEFAULT_SAMPLING);
    expect(argv).toContain('--prompt=--json is\nan option');
    expect(argv).toContain('--set=generation.max_new_tokens=64');
    expect(argv.at(-1)).toBe('/models/a');
  });

  it('make a text stale only by what it depends on', () => {
    const greedy = DEFAULT_SAMPLING;
    expect(madeWith('p', { ...greedy, seed: 1, temperature: 0.5 })).toBe(madeWith('p', greedy));
    expect(madeWith('p', { ...greedy, num_beams: 4 })).not.toBe(madeWith('p', greedy));
    expect(madeWith('q', greedy)).not.toBe(madeWith('p', greedy));
    const drawn = { ...greedy, do_sample: true };
    expect(madeWith('p', { ...drawn, seed: 1 })).not.toBe(madeWith('p', drawn));
  });
});

describe('a comparison that is taken elsewhere', () => {
  const text = 'a | b <script>\n*twice* & `more`';
  const state: CompareState = {
    models: [model('base'), model('tuned')],
    prompts,
    sampling: DEFAULT_SAMPLING,
    kept: 0,
    texts: [
      {
        prompt: '0',
        model: 'base',
        state: 'done',
        stale: true,
        text,
        cell: {
          text,
          weights: 'sha256:0123456789ab',
          seconds: 1.25,
          new_tokens: 9,
          finish_reason: 'length',
          metrics: { words: 6, unique_words: 5, distinct_1: 0.8, distinct_2: 0.5 },
          repeated: [],
        },
      },
    ],
  };

  it('is a table in Markdown that no text can break out of', () => {
    const lines = compareMarkdown(state).split('\n');
    expect(lines[0]).toBe('| Prompt | base<br>`sha256:0123456789ab` | tuned |');
    expect(lines[2]).not.toMatch(/<script>|\*twice/);
    expect(lines[2]!.match(/ \| /g)).toHaveLength(2);
    expect(lines[2]).toContain('5 unique words, distinct-2 0.50, 1.3 s');
    expect(lines[2]).toContain('(stale)');
    expect(lines[3]).toBe('| two | – | – |');
  });

  it('holds in JSON everything that is known of each text', () => {
    const saved = JSON.parse(compareJson(state));
    expect(saved.prompts).toEqual(['one', 'two']);
    expect(saved.models[0]).toMatchObject({ label: 'base', path: '/models/base', weights: 'sha256:0123456789ab' });
    expect(saved.cells[0][0]).toMatchObject({ text, stale: true, metrics: { unique_words: 5 } });
    expect(saved.cells[1]).toEqual([null, null]);
  });
});

describe('the pairs that are kept', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tuneyard-pairs-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const pair = (prompt: string) => ({
    prompt,
    chosen: 'good\ntext',
    rejected: 'bad',
    chosen_weights: 'sha256:1',
    rejected_weights: 'sha256:2',
    time: '2026-11-23T05:00:00.000Z',
  });

  it('are added a line each, behind what is there, even where that was left without an end', async () => {
    const file = join(dir, 'preferences.jsonl');
    await appendPreference(file, pair('one'));
    await appendPreference(file, pair('two'));
    await writeFile(file, (await readFile(file, 'utf8')).trimEnd());
    await appendPreference(file, pair('three'));
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).prompt)).toEqual(['one', 'two', 'three']);
    expect(JSON.parse(lines[0]!)).toEqual(pair('one'));
  });

  it('are not lost in silence where the folder cannot be written to', async () => {
    await expect(appendPreference(join(dir, 'gone', 'preferences.jsonl'), pair('one'))).rejects.toThrow('ENOENT');
  });
});
