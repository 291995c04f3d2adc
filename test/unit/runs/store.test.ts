import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EndEvent, LogEvent, RunEventBody, StartEvent } from '@protocol/events';
import { recipeSchema } from '@protocol/recipe';
import type { RunSummary } from '@protocol/runner';
import { openEventLog } from '@runner/runs/eventLog';
import { createRun, openRun, rememberRun, writeRecipe } from '@runner/runs/runDir';
import { acquireLock } from '@runner/runs/runLock';
import { listRuns, RunList } from '@runner/runs/store';
import { describe, expect, it } from 'vitest';
import { temporaryFolders } from '../hub/support';

const folder = temporaryFolders();

const start = (step = 0): StartEvent => ({
  type: 'start',
  run: 'r',
  pid: 1,
  step,
  total_steps: 100,
  model: 'base',
  method: 'full',
  parameters: 10,
  trainable_parameters: 10,
  train_samples: 5,
  eval_samples: 1,
  device: 'CPU',
  device_reason: 'CPU: the recipe asks for it',
});
const log = (step: number, loss: number): LogEvent => ({
  type: 'log',
  step,
  epoch: 1,
  loss,
  learning_rate: 1,
  grad_norm: 1,
  tokens_per_second: 1,
  supervised_tokens: 1,
  tokens_seen: 1,
  memory_bytes: 1,
  step_seconds: 0.5,
});
const end = (step: number, status: EndEvent['status'], more: Partial<EndEvent> = {}): EndEvent => ({
  type: 'end',
  status,
  step,
  runtime: 1,
  ...more,
});

async function run(home: string, ...events: RunEventBody[]): Promise<{ id: string; dir: string }> {
  const made = await createRun({ home, name: 'test' });
  const writer = await openEventLog(made.dir);
  for (const event of events) writer.append(event);
  await writer.close();
  return made;
}

/** The only run under a new home. */
async function summary(...events: RunEventBody[]): Promise<RunSummary> {
  const home = await folder();
  await run(home, ...events);
  return (await listRuns(home))[0]!;
}

describe('the list of runs', () => {
  it('tells how far a running one is, and how long it will take', async () => {
    const home = await folder();
    const { id, dir } = await run(home, start(), log(10, 3), log(20, 2.5));
    const lock = await acquireLock(dir);
    expect(await listRuns(home)).toMatchObject([
      { id, dir, state: 'running', step: 20, total_steps: 100, last_loss: 2.5, model: 'base', seconds_left: 40 },
    ]);
    await lock.release();
    const [left] = await listRuns(home);
    expect(left).toMatchObject({ state: 'crashed', step: 20, last_loss: 2.5 });
    expect(left).not.toHaveProperty('seconds_left');
  });

  it('tells the ends apart', async () => {
    expect(await summary(start(), end(100, 'completed', { model_path: '/m' }))).toMatchObject({
      state: 'completed',
      step: 100,
      model_path: '/m',
    });
    expect(await summary(start(), log(10, 3), end(12, 'stopped'))).toMatchObject({ state: 'stopped', step: 12 });
    expect(await summary(start(), end(0, 'failed', { code: 'not_finite', message: 'Loss is NaN.' }))).toMatchObject({
      state: 'failed',
      message: 'Loss is NaN.',
    });
  });

  it('does not take the end before a resume for the end of the run', async () => {
    expect(await summary(start(), end(12, 'stopped'), start(12), log(20, 2))).toMatchObject({
      state: 'crashed',
      step: 20,
    });
  });

  it('says running while a stopped run is being resumed and has not said anything yet', async () => {
    const home = await folder();
    const { dir } = await run(home, start(), end(12, 'failed', { message: 'Then.' }));
    const lock = await acquireLock(dir);
    const [resumed] = await listRuns(home);
    expect(resumed).toMatchObject({ state: 'running', step: 12 });
    expect(resumed).not.toHaveProperty('message');
    await lock.release();
  });

  it('has the newest first, and also a run that never came to its first event', async () => {
    const home = await folder();
    const first = await run(home, start());
    // File systems keep time in coarser steps than the clock.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await createRun({ home, name: 'second' });
    await writeRecipe(second.dir, recipeSchema.parse({ model: 'other', dataset: 'd' }));
    const runs = await listRuns(home);
    expect(runs.map(({ id }) => id)).toEqual([second.id, first.id]);
    expect(runs[0]).toMatchObject({ state: 'crashed', model: 'other', method: 'full', step: 0 });
    expect(runs[1]!.started <= runs[0]!.started).toBe(true);
  });

  it('is empty where nothing ran, and is not upset by what is no run', async () => {
    const home = await folder();
    expect(await listRuns(home)).toEqual([]);
    await mkdir(join(home, 'runs', 'empty'), { recursive: true });
    await writeFile(join(home, 'runs', 'notes.txt'), '');
    await mkdir(join(home, 'runs', 'damaged'));
    await writeFile(join(home, 'runs', 'damaged', 'recipe.json'), '{"mod');
    await mkdir(join(home, 'runs', 'odd', 'events.jsonl'), { recursive: true });
    expect((await listRuns(home)).map(({ id, state }) => [id, state])).toEqual([['damaged', 'crashed']]);
  });
});

describe('the list that is asked for again and again', () => {
  it('reads nothing of a run that is over, and everything that comes when it goes on', async () => {
    const home = await folder();
    const { dir } = await run(home, start(), log(10, 2), end(10, 'completed'));
    const over = new Date(Date.now() - 60_000);
    await utimes(dir, over, over);
    const list = new RunList(home);
    const [first] = await list.refresh();
    expect(first).toMatchObject({ state: 'completed', step: 10 });

    // Nobody writes here without the lock; what is there nevertheless shows that nothing was read.
    const events = join(dir, 'events.jsonl');
    const before = await readFile(events, 'utf8');
    await writeFile(events, `${before}${JSON.stringify({ seq: 4, time: 'x', ...log(11, 1) })}\n`);
    expect(Math.round((await stat(dir)).mtimeMs)).toBe(over.getTime());
    expect(await list.refresh()).toEqual([first]);

    const lock = await acquireLock(dir);
    expect(await list.refresh()).toMatchObject([{ state: 'running', step: 11 }]);
    const writer = await openEventLog(dir);
    writer.append(end(12, 'stopped'));
    await writer.close();
    await lock.release();
    expect(await list.refresh()).toMatchObject([{ state: 'stopped', step: 12 }]);
    await rm(dir, { recursive: true });
    expect(await list.refresh()).toEqual([]);
  });

  it('tells runs in folders of one name apart, and forgets those whose folder is gone', async () => {
    const home = await folder();
    const dirs = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const dir = join(home, name, 'run');
        await createRun({ runDir: dir, name });
        await writeRecipe(dir, recipeSchema.parse({ model: name, dataset: 'd' }));
        await rememberRun({ id: 'run', dir }, home);
        return dir;
      }),
    );
    const runs = await listRuns(home);
    expect(new Set(runs.map(({ id }) => id)).size).toBe(2);
    for (const { id, dir } of runs) expect((await openRun(id, home)).dir).toBe(dir);
    await rm(dirs[0]!, { recursive: true });
    expect(await listRuns(home)).toMatchObject([{ id: 'run', dir: dirs[1] }]);
    expect(await readdir(join(home, 'elsewhere'))).toHaveLength(1);
  });
});
