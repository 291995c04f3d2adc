/** When a run logs, evaluates and saves. The steps expected here are those of transformers 5 `Trainer` on as many rows. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyProject, tuneyard } from '../unit/cli/support';

let dir: string;
let recipe: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-schedule-'));
  // 36 rows to train on: 12 batches of 3, four steps an epoch.
  recipe = await tinyProject(dir, {
    max_steps: -1,
    per_device_train_batch_size: 3,
    gradient_accumulation_steps: 3,
    // One shape: steps are looked at, not speed, and each shape takes time to compile.
    pad_to: 'max_length',
    generation: { prompts: [] },
  });
});

afterAll(() => rm(dir, { recursive: true, force: true }));

interface Case {
  name: string;
  set: string[];
  total: number;
  /** Step and epoch. Trainer has no line at the last step where logging_steps does not divide it; we do. */
  log: [number, number][];
  eval: number[];
  save: number[];
}

const CASES: Case[] = [
  {
    name: 'whole epochs',
    set: ['num_train_epochs=2'],
    total: 8,
    log: [
      [2, 0.5],
      [4, 1],
      [6, 1.5],
      [8, 2],
    ],
    eval: [4, 8],
    save: [4, 8],
  },
  {
    name: 'a part of an epoch, which counts as one at its end',
    set: ['num_train_epochs=1.3'],
    total: 6,
    log: [
      [2, 0.5],
      [4, 1],
      [6, 1.5],
    ],
    eval: [4, 6],
    save: [4, 6],
  },
  {
    name: 'by steps, and at the last one',
    set: ['num_train_epochs=2', 'eval_strategy=steps', 'eval_steps=3', 'save_strategy=steps', 'save_steps=5'],
    total: 8,
    log: [
      [2, 0.5],
      [4, 1],
      [6, 1.5],
      [8, 2],
    ],
    eval: [3, 6, 8],
    save: [5, 8],
  },
  {
    name: 'max_steps before the epochs, eval_steps as logging_steps',
    set: ['num_train_epochs=9', 'max_steps=7', 'eval_strategy=steps', 'save_strategy=steps', 'save_steps=3'],
    total: 7,
    log: [
      [2, 0.5],
      [4, 1],
      [6, 1.5],
      [7, 1.75],
    ],
    eval: [2, 4, 6, 7],
    save: [3, 6, 7],
  },
  {
    name: 'no checkpoints where none are wanted',
    set: ['max_steps=5', 'save_strategy=no'],
    total: 5,
    log: [
      [2, 0.5],
      [4, 1],
      [5, 1.25],
    ],
    eval: [4, 5],
    save: [],
  },
  {
    name: 'an epoch whose last step has fewer batches',
    set: ['num_train_epochs=2', 'dataset.max_train_samples=20'],
    total: 6,
    log: [
      [2, 6 / 7],
      [4, 10 / 7],
      [6, 2],
    ],
    eval: [3, 6],
    save: [3, 6],
  },
];

describe('a run logs, evaluates and saves when transformers’ Trainer would', () => {
  it.each(CASES)('$name', async ({ name, set, total, log, eval: evaluated, save }) => {
    const runDir = join(dir, 'runs', String(CASES.findIndex((other) => other.name === name)));
    const settings = set.flatMap((setting) => ['--set', setting]);
    const { status, stderr } = await tuneyard(['train', recipe, '--run-dir', runDir, ...settings]);
    expect([status, stderr]).toEqual([0, '']);
    const lines = readFileSync(join(runDir, 'events.jsonl'), 'utf8').trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as RunEvent);
    const steps = (type: RunEvent['type']) => events.flatMap((event) => (event.type === type ? [event.step] : []));
    expect(events[0]).toMatchObject({ type: 'start', total_steps: total });
    expect(steps('log')).toEqual(log.map(([step]) => step));
    for (const [i, event] of events.filter(({ type }) => type === 'log').entries()) {
      expect(event).toHaveProperty('epoch', expect.closeTo(log[i]![1], 10));
    }
    expect(steps('eval')).toEqual(evaluated);
    expect(steps('checkpoint')).toEqual(save);
    expect(events.at(-1)).toMatchObject({ type: 'end', status: 'completed', step: total });
  });
});
