/** What the extension lives on: runs that go on without it, a queue, events without a gap, sent files. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { CompareLine } from '@protocol/compare';
import type { RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import type { JobLine } from '@protocol/serve';
import { isProcessAlive } from '@runner/hub/processAlive';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildRunner, runRunner } from '../support/runner';
import { type Served, startServe } from '../support/serve';
import { tinyProject } from '../unit/cli/support';
import { processOf } from '../unit/runs/support';
import { expectEvent } from './eventSchema';

let dir: string;
const home = () => join(dir, 'home');
const open: Served[] = [];
const stubborn = processOf('stubbornProcess');

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-serve-'));
  await tinyProject(dir, {});
});
afterEach(async () => {
  const [served] = open;
  for (const run of served ? await served.peer.request('runs/list', {}) : []) {
    if (run.state === 'running' || run.state === 'queued') await served!.peer.request('runs/kill', { run: run.id });
  }
  for (const each of open.splice(0)) await each.close();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function serve(env?: NodeJS.ProcessEnv): Promise<Served> {
  const served = await startServe(home(), env);
  open.push(served);
  return served;
}

const recipe = (more: Record<string, unknown> = {}) => ({
  model: join(dir, 'model'),
  dataset: join(dir, 'data.jsonl'),
  device: 'cpu',
  max_length: 16,
  per_device_train_batch_size: 4,
  logging_steps: 20,
  eval_strategy: 'no',
  save_strategy: 'no',
  max_steps: 40,
  ...more,
});
/** It ends when it is told to. */
const endless = () => recipe({ max_steps: 1_000_000, save_strategy: 'steps', save_steps: 500, save_total_limit: 1 });

const state = async ({ peer }: Served, run: string) => (await peer.request('runs/get', { run })).state;
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 100 });

/** All events that come for a run from now on. */
async function follow({ peer }: Served, run: string, after = 0): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  peer.on('run/events', (told) => {
    if (told.run === run) events.push(...told.events);
  });
  await peer.request('runs/follow', { run, after });
  return events;
}

describe('a run that was begun through serve', () => {
  it('goes on when the connection breaks, and whoever comes back gets every event once', async () => {
    const first = await serve();
    const { id, state: begun } = await first.peer.request('runs/start', { recipe: endless(), name: 'long' });
    expect(begun).toBe('running');
    const before = await follow(first, id);
    await until(() => expect(before.length).toBeGreaterThan(3));
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    open.splice(0);

    const second = await serve();
    expect(await state(second, id)).toBe('running');
    const seen = before.at(-1)!.seq;
    const after = await follow(second, id, seen);
    await until(() => expect(after.length).toBeGreaterThan(3));
    await second.peer.request('runs/stop', { run: id });
    await until(() => expect(after.at(-1)).toMatchObject({ type: 'end', status: 'stopped' }));
    const all = [...before, ...after];
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i + 1));
    for (const event of all) expectEvent(event);
  });

  it('stops with a checkpoint, is resumed behind it, and is gone when it is deleted', async () => {
    const served = await serve();
    const source = { recipe_path: '/home/me/mine.tune.json', recipe_text: '{ /* mine */ }' };
    const { id, dir: runDir } = await served.peer.request('runs/start', { recipe: endless(), name: 'mine', source });
    const events = await follow(served, id);
    await until(() => expect(events.some(({ type }) => type === 'log')).toBe(true));
    await expect(served.peer.request('runs/delete', { run: id })).rejects.toMatchObject({ code: 'run_locked' });
    await served.peer.request('runs/stop', { run: id });
    await until(async () => expect(await state(served, id)).toBe('stopped'));
    const files = await served.peer.request('runs/files', { run: id });
    expect(files.checkpoints).toHaveLength(1);
    expect(files.checkpoints[0]!.bytes).toBeGreaterThan(1000);
    expect((await served.peer.request('runs/recipe', { run: id })).source).toEqual(source);

    const { step } = files.checkpoints[0]!;
    await served.peer.request('runs/resume', { run: id, set: [`max_steps=${step + 20}`] });
    await until(async () => expect(await state(served, id)).toBe('completed'));
    await until(() => expect(events.at(-1)).toMatchObject({ type: 'end', status: 'completed', step: step + 20 }));
    expect(events.filter(({ type }) => type === 'start').map(({ step: from }) => from)).toEqual([0, step]);
    const log = await served.peer.request('runs/log', { run: id, lines: 200 });
    expect(log.text).toContain('Done');

    const { freed_bytes } = await served.peer.request('runs/delete', { run: id });
    expect(freed_bytes).toBeGreaterThan(files.checkpoints[0]!.bytes);
    await expect(stat(runDir)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(served.peer.request('runs/files', { run: id })).rejects.toMatchObject({ code: 'run_not_found' });
  });

  it('goes on with the settings of last time, and its recipe can be begun anew', async () => {
    const { peer, ...served } = await serve();
    const what = recipe({ max_steps: 4, save_strategy: 'steps', save_steps: 4 });
    const { id } = await peer.request('runs/start', { recipe: what, name: 'longer' });
    const ended = (step: number) =>
      until(async () =>
        expect(await peer.request('runs/get', { run: id })).toMatchObject({
          state: 'completed',
          step,
          total_steps: step,
        }),
      );
    await ended(4);
    await peer.request('runs/resume', { run: id, set: ['max_steps=6'] });
    await ended(6);
    const events = await follow({ peer, ...served }, id);
    await peer.request('runs/resume', { run: id });
    await until(() => expect(events.filter(({ type }) => type === 'start')).toHaveLength(3));
    await ended(6);
    const kept = (await peer.request('runs/recipe', { run: id })).recipe;
    expect(kept).toMatchObject({ max_steps: 6 });
    expect(kept).not.toHaveProperty('resume_from_checkpoint');
  });

  it('is meant by its whole name only', async () => {
    const { peer } = await serve();
    const { id } = await peer.request('runs/start', { recipe: recipe({ max_steps: 1 }), name: 'exact' });
    await until(async () => expect((await peer.request('runs/get', { run: id })).state).toBe('completed'));
    for (const run of [id.slice(0, -1), '', `${id}x`]) {
      await expect(peer.request('runs/delete', { run })).rejects.toMatchObject({ code: 'run_not_found' });
    }
    await peer.request('runs/delete', { run: id });
  });

  it('is not begun when that is cancelled', async () => {
    const { peer } = await serve();
    const before = await readdir(join(home(), 'runs'));
    const controller = new AbortController();
    const started = peer.request('runs/start', { recipe: endless(), name: 'never' }, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(started).rejects.toMatchObject({ code: 'cancelled' });
    await until(async () => expect(await readdir(join(home(), 'runs'))).toEqual(before));
  });

  it('is asked to stop only once, since asked twice it would end without a checkpoint', async () => {
    const { peer } = await serve();
    const runDir = join(home(), 'runs', 'stubborn');
    await mkdir(runDir, { recursive: true });
    await writeFile(join(runDir, 'recipe.json'), '{}');
    const process = stubborn(runDir);
    const says = async () => String((await once(process.stdout!, 'data'))[0]).trim();
    expect(await says()).toBe('held');
    await peer.request('runs/stop', { run: 'stubborn' });
    expect(await peer.request('runs/get', { run: 'stubborn' })).toMatchObject({ state: 'running', stopping: true });
    const later = await serve();
    await later.peer.request('runs/stop', { run: 'stubborn' });
    process.stdin!.write('how often?\n');
    expect(await says()).toBe('1');
    await peer.request('runs/kill', { run: 'stubborn' });
    const killed = await peer.request('runs/get', { run: 'stubborn' });
    expect(killed.state).toBe('stopped');
    expect(killed).not.toHaveProperty('stopping');
    await peer.request('runs/delete', { run: 'stubborn' });
  });

  it('does not keep others waiting for their answers while its many events go over a slow wire', async () => {
    const served = await serve();
    const runDir = join(home(), 'runs', 'long-history');
    await mkdir(runDir, { recursive: true });
    const event = { time: new Date().toISOString(), type: 'warning', step: 1, code: 'x', message: 'x'.repeat(200) };
    const lines = Array.from({ length: 50_000 }, (_, i) => `${JSON.stringify({ seq: i + 1, ...event })}\n`);
    await writeFile(join(runDir, 'events.jsonl'), lines.join(''));
    let came = 0;
    served.peer.on('run/events', ({ events }) => {
      came += events.length;
    });
    await served.peer.request('runs/follow', { run: 'long-history', after: 0 });
    served.process.stdout.pause();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const answer = served.peer.request('runs/log', { run: 'long-history', lines: 1 });
    served.process.stdout.resume();
    await answer;
    expect(came).toBeLessThan(10_000);
    await until(() => expect(came).toBe(50_000));
    await served.peer.request('runs/delete', { run: 'long-history' });
  });

  it('says what is wrong with its recipe and leaves nothing behind', async () => {
    const served = await serve();
    const before = await readdir(join(home(), 'runs'));
    const started = served.peer.request('runs/start', { recipe: recipe({ learning_rat: 1 }), name: 'bad' });
    await expect(started).rejects.toMatchObject({
      code: 'recipe_invalid',
      message: expect.stringMatching(/input\.tune\.json:\d+:\d+: .*learning_rate/),
    });
    expect(await readdir(join(home(), 'runs'))).toEqual(before);
  });

  it('is told to everybody who looks: it came, it got on, it ended', async () => {
    const served = await serve();
    let runs: RunSummary[] = [];
    served.peer.on('runs/changed', (told) => {
      runs = told.runs;
    });
    await served.peer.request('runs/list', {});
    const { id } = await served.peer.request('runs/start', { recipe: recipe(), name: 'told' });
    await until(() => expect(runs.find((run) => run.id === id)).toMatchObject({ state: 'completed', step: 40 }));
    expect(runs[0]!.id).toBe(id);
  });
});

describe('runs that want the same device', () => {
  it('take turns as they came; one that is killed or stopped while it waits leaves its place', async () => {
    const served = await serve();
    const begin = async (name: string, what = endless()) =>
      (await served.peer.request('runs/start', { recipe: what, name })).id;
    const one = await begin('one');
    const two = await begin('two');
    const three = await begin('three');
    const four = await begin('four', recipe());
    await until(async () => expect(await state(served, four)).toBe('queued'));
    expect(await Promise.all([one, two, three].map((run) => state(served, run)))).toEqual([
      'running',
      'queued',
      'queued',
    ]);
    const waiting = await follow(served, four);
    await until(() =>
      expect(waiting.at(-1)).toMatchObject({ type: 'queued', device: 'cpu', behind: [one, two, three] }),
    );

    await served.peer.request('runs/kill', { run: two });
    expect(await state(served, two)).toBe('stopped');
    await served.peer.request('runs/stop', { run: three });
    await until(async () => expect(await state(served, three)).toBe('stopped'));
    await until(() => expect(waiting.at(-1)).toMatchObject({ behind: [one] }));
    expect(await state(served, four)).toBe('queued');

    await served.peer.request('runs/kill', { run: one });
    await until(async () => expect(await state(served, four)).toBe('completed'));
    expect(await readdir(join(home(), 'queue'))).toEqual([]);
  });
});

it('a run that had come far, is resumed, and is stopped before its turn, has still come that far', async () => {
  const served = await serve();
  const { peer } = served;
  const far = recipe({ max_steps: 4, save_strategy: 'steps', save_steps: 4 });
  const { id } = await peer.request('runs/start', { recipe: far, name: 'far' });
  await until(async () => expect(await state(served, id)).toBe('completed'));
  const front = await peer.request('runs/start', { recipe: endless(), name: 'front' });
  await peer.request('runs/resume', { run: id, set: ['max_steps=8'] });
  await until(async () => expect(await state(served, id)).toBe('queued'));
  await peer.request('runs/stop', { run: id });
  await until(async () => expect(await state(served, id)).toBe('stopped'));
  expect(await peer.request('runs/get', { run: id })).toMatchObject({ step: 4 });
  await peer.request('runs/kill', { run: front.id });
});

describe('a job', () => {
  const job = async ({ peer }: Served, argv: string[], signal?: AbortSignal) => {
    const lines: JobLine[] = [];
    peer.on('job/line', (line) => lines.push(line));
    const end = await peer.request('job/run', { job: 'j', argv, cwd: dir }, signal);
    return { end, lines };
  };

  it('streams a comparison: pieces, then cells that are those pieces, then the report', async () => {
    const served = await serve();
    const { lines } = await job(served, [
      'compare',
      'model',
      '--prompt',
      'the',
      '--prompt',
      'a',
      '--set',
      'device=cpu',
    ]);
    const data = lines.flatMap((line) => (line.data ? [line.data as CompareLine] : []));
    const cells = data.filter((line) => line.type === 'cell');
    expect(cells.map(({ prompt, model }) => [prompt, model])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    for (const { prompt, cell } of cells) {
      const pieces = data.filter((line) => line.type === 'text' && line.prompt === prompt);
      expect(pieces.map((piece) => (piece.type === 'text' ? piece.text : '')).join('')).toBe(cell.text);
      expect(cell.text.length).toBeGreaterThan(0);
    }
    expect(data.at(-1)).toMatchObject({ type: 'report', prompts: ['the', 'a'] });
  });

  it('fails as the command does, and ends when it is cancelled', async () => {
    const served = await serve();
    await expect(job(served, ['compare', './nowhere', '--prompt', 'a'])).rejects.toMatchObject({
      code: expect.stringMatching(/^(model_invalid|file_not_found|hub_failed|usage)$/),
    });
    await expect(job(served, ['train', 'x.tune.json'])).rejects.toMatchObject({ code: 'usage' });
    const controller = new AbortController();
    const argv = ['compare', 'model', '--prompt', 'the', '--set', 'generation.max_new_tokens=100000'];
    const running = job(served, argv, controller.signal);
    setTimeout(() => controller.abort(), 300);
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
  });
});

it.skipIf(process.platform !== 'linux')('no job is left behind when the client hangs up', async () => {
  const served = await startServe(home());
  const argv = ['compare', 'model', '--prompt', 'the', '--set', 'generation.max_new_tokens=100000'];
  const text = new Promise((resolve) => served.peer.on('job/line', resolve));
  const job = served.peer.request('job/run', { job: 'j', argv, cwd: dir });
  job.catch(() => {});
  await text;
  const { pid } = served.process;
  const [child] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').map(Number);
  expect(isProcessAlive(child!)).toBe(true);
  await served.close();
  expect(isProcessAlive(child!)).toBe(false);
});

describe('sent files', () => {
  const content = Buffer.from('{"text":"a","target":"b"}\n'.repeat(1000));
  const file = {
    name: 'data.jsonl',
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };

  it('are asked for once, go on from where they broke off, and are taken only whole', async () => {
    const { peer } = await serve();
    const [plan] = await peer.request('data/plan', { files: [file] });
    expect(plan).toMatchObject({ have_bytes: 0, present: false });
    await writeFile(plan!.partial_path, content.subarray(0, 777));
    expect(await peer.request('data/plan', { files: [file] })).toMatchObject([{ have_bytes: 777 }]);
    await expect(peer.request('data/commit', file)).rejects.toMatchObject({ code: 'transfer_failed' });
    expect(await peer.request('data/plan', { files: [file] })).toMatchObject([{ have_bytes: 0 }]);
    await writeFile(plan!.partial_path, content);
    const { path } = await peer.request('data/commit', file);
    expect(await readFile(path)).toEqual(content);
    expect(await peer.request('data/plan', { files: [file] })).toMatchObject([{ path, present: true }]);
    expect(await peer.request('data/commit', file)).toEqual({ path });
  });

  it('may hold the same under two names, or nothing', async () => {
    const { peer } = await serve();
    const group = 'a'.repeat(64);
    const empty = { name: 'empty.txt', bytes: 0, sha256: createHash('sha256').digest('hex'), group };
    const twins = ['one.jsonl', 'sub/two.jsonl'].map((name) => ({ ...file, name, group }));
    const plans = await peer.request('data/plan', { files: [...twins, empty] });
    await Promise.all(plans.slice(0, 2).map((plan) => writeFile(plan.partial_path, content)));
    for (const each of [...twins, empty]) {
      const { path } = await peer.request('data/commit', each);
      expect(path).toBe(join(home(), 'data', group, each.name));
      expect((await stat(path)).size).toBe(each.bytes);
    }
  });

  it.each(['../x', '/etc/x', 'a/../../x', '', 'a\\b'])('never lie outside of their folder: %j', async (name) => {
    const { peer } = await serve();
    await expect(peer.request('data/plan', { files: [{ ...file, name }] })).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('the machine', () => {
  it('is described as it is', async () => {
    const { peer } = await serve();
    const status = await peer.request('host/status', {});
    expect(status).toMatchObject({ platform: process.platform, node: process.versions.node, gpus: expect.any(Array) });
    expect(status.free_disk_bytes).toBeGreaterThan(0);
    expect(status.free_disk_bytes).toBeLessThanOrEqual(status.disk_bytes);
    expect(status.free_memory_bytes).toBeLessThanOrEqual(status.memory_bytes);
  });

  it.skipIf(process.platform === 'win32')('names its GPUs as nvidia-smi does', async () => {
    // Stands for a driver that this machine may lack; it answers in nvidia-smi's words.
    const bin = join(dir, 'bin');
    await mkdir(bin, { recursive: true });
    await writeFile(
      join(bin, 'nvidia-smi'),
      `#!/bin/sh
case "$1" in
--query-gpu=index,name,memory.total,memory.used,utilization.gpu,driver_version)
  echo "0, NVIDIA L4, 23034, 1024, 37, 580.82.07"
  echo "1, NVIDIA L4, 23034, 0, [N/A], 580.82.07";;
*) echo "| NVIDIA-SMI 580.82.07    Driver Version: 580.82.07    CUDA Version: 13.0     |";;
esac
`,
    );
    await chmod(join(bin, 'nvidia-smi'), 0o755);
    const { peer } = await serve({ PATH: `${bin}${delimiter}${process.env.PATH}` });
    expect(await peer.request('host/status', {})).toMatchObject({
      driver: '580.82.07',
      cuda: '13.0',
      gpus: [
        { index: 0, name: 'NVIDIA L4', memory_bytes: 23034 * 2 ** 20, used_bytes: 2 ** 30, utilization: 0.37 },
        { index: 1, utilization: 0 },
      ],
    });
  });
});

it('serve goes when its client hangs up', async () => {
  const served = await startServe(home());
  await served.close();
  expect(served.process.exitCode).toBe(0);
});

it('a run with a folder of its own is in the list all the same', async () => {
  const file = join(dir, 'own.tune.json');
  await writeFile(file, JSON.stringify(recipe({ max_steps: 1, logging_steps: 1 })));
  const run = join(dir, 'own-run');
  const { status } = await runRunner(['train', file, '--run-dir', run, '--quiet'], { home: home(), cwd: dir });
  expect(status).toBe(0);
  const { peer } = await serve();
  expect((await peer.request('runs/list', {})).find(({ id }) => id === 'own-run')).toMatchObject({
    dir: run,
    state: 'completed',
  });
  await rm(run, { recursive: true });
  expect((await peer.request('runs/list', {})).some(({ id }) => id === 'own-run')).toBe(false);
});
