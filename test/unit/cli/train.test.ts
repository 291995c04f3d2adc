import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { followEvents } from '@runner/runs/eventLog';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildReport } from '../../../scripts/build.mjs';
import { temporaryFolders } from '../hub/support';
import { screen, tinyProject, tuneyard, tuneyardProcess } from './support';

const folder = temporaryFolders();
const children: ChildProcess[] = [];
let dir: string;
let recipe: string;
let runDir: string;

beforeAll(() => buildReport(() => {}));

beforeEach(async () => {
  dir = await folder();
  vi.stubEnv('TUNEYARD_HOME', join(dir, 'home'));
  recipe = await tinyProject(dir);
  runDir = join(dir, 'run');
});

afterEach(() => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const read = (name: string) => readFileSync(join(runDir, name), 'utf8');
const events = (): RunEvent[] =>
  read('events.jsonl')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const lastEvent = () => events().at(-1);

describe('train', () => {
  it('leaves a run that tells everything: recipe, events, log, report, model', async () => {
    const { status, stdout, stderr } = await tuneyard(['train', recipe, '--run-dir', runDir, '--set', 'seed=7']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(JSON.parse(read('recipe.json'))).toMatchObject({ seed: 7, max_steps: 4, optim: 'adamw' });
    expect(lastEvent()).toMatchObject({ type: 'end', status: 'completed', step: 4 });
    expect(read('report.html')).toContain('<!doctype html>');
    expect(existsSync(join(runDir, 'model', 'model.safetensors'))).toBe(true);

    expect(stdout).toMatch(/^Samples +36 to train on, 4 to evaluate on$/m);
    expect(stdout).toMatch(/^Device +C.*: .+$/m);
    expect(stdout).toMatch(/^step 2\/4 {2}epoch 0\.22 {2}loss \d\.\d{3} {2}lr .* left$/m);
    expect(stdout).toMatch(
      /^step 4\/4 {2}evaluation loss \d\.\d{3}, perplexity [\d.]+, accuracy [\d.]+%, the best so far$/m,
    );
    expect(stdout).toMatch(/^step 4\/4 {2}checkpoint of .* saved: .*step-4$/m);
    expect(stdout).toMatch(/^Done: 4 steps/m);
    expect(stdout).toMatch(/^Loss +\d\.\d{3} → \d\.\d{3}$/m);
    for (const line of stdout.split('\n').filter((line) => !line.includes('writes: '))) {
      expect(read('runner.log')).toContain(line);
    }
  });

  it('tells a program every event as it stands in the run, and then what came out', async () => {
    const { status, objects } = await tuneyard(['train', recipe, '--run-dir', runDir, '--json']);
    expect(status).toBe(0);
    const [first, ...rest] = objects();
    const result = rest.pop();
    expect(first).toEqual({ type: 'run', run: 'run', run_dir: runDir });
    expect(rest).toEqual(events());
    expect(result).toMatchObject({
      type: 'result',
      status: 'completed',
      run_dir: runDir,
      model_path: join(runDir, 'model'),
      report: join(runDir, 'report.html'),
    });
    expect(read('runner.log')).toContain('Done: 4 steps');
  });

  it('keeps the progress bar in the last line of a terminal, apart from all other lines', async () => {
    const { stdout } = await tuneyard(['train', recipe, '--run-dir', runDir, '--set', 'eval_strategy=steps'], {
      terminal: true,
    });
    expect(stdout).toMatch(/█+░+ 2\/4 {2}loss/);
    expect(stdout).toContain('Loading the weights …');
    const shown = screen(stdout);
    expect(shown.join('\n')).not.toMatch(/[█░]|…/);
    expect(shown.filter((line) => line.includes('evaluation loss'))).toHaveLength(2);
    expect(shown).toContainEqual(expect.stringMatching(/^Done: 4 steps/));
  });

  it('with --quiet shows only what came out', async () => {
    const { stdout } = await tuneyard(['train', recipe, '--run-dir', runDir, '--quiet'], { terminal: true });
    expect(stdout.trim().split('\n')[0]).toMatch(/Done/);
    expect(read('runner.log')).toContain('step 2/4');
  });
});

describe('a training that cannot be', () => {
  it('says so in its run, to the person, and in the list of runs', async () => {
    await rm(join(dir, 'data.jsonl'));
    const { status, stderr } = await tuneyard(['train', recipe]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^\S*data\.jsonl: there is no such .*\n$/);
    const [run] = (await tuneyard(['runs', '--json'])).objects();
    expect(run).toMatchObject({ state: 'failed', message: stderr.trim() });
    expect((await tuneyard(['runs'])).stdout).toContain(stderr.trim());
    runDir = String(run?.dir);
    expect(lastEvent()).toMatchObject({ type: 'end', status: 'failed' });
    expect(read('runner.log')).toMatch(/^ +at /m);
  });

  it('leaves a finished run in the same folder as it was', async () => {
    await tuneyard(['train', recipe, '--run-dir', runDir]);
    const before = [read('events.jsonl'), read('recipe.json')];
    const again = await tuneyard(['train', recipe, '--run-dir', runDir, '--set', 'seed=1']);
    expect(again.status).toBe(2);
    expect(again.stderr).toContain('--resume');
    await cp(join(dir, 'model'), join(dir, 'other'), { recursive: true });
    await rm(join(dir, 'model'), { recursive: true });
    const resumed = await tuneyard(['train', recipe, '--run-dir', runDir, '--resume', '--set', 'max_steps=6']);
    expect(resumed.status).toBe(2);
    expect([read('events.jsonl'), read('recipe.json')]).toEqual(before);
  });

  it('for want of the GPU that was asked for ends before it begins', async () => {
    const { status, stderr } = await tuneyard(['train', recipe, '--run-dir', runDir, '--set', 'device=cuda:99']);
    expect(status).toBe(2);
    expect(stderr).toContain('"cuda:99" cannot be used here');
    expect(events().map(({ type }) => type)).toEqual(['end']);
  });
});

/** A long run in a process of its own, once it has made its first steps. */
async function longRun(): Promise<ChildProcess> {
  const endless = ['--set', 'max_steps=100000', '--set', 'eval_strategy=no', '--set', 'save_strategy=no'];
  const child = tuneyardProcess(['train', recipe, '--run-dir', runDir, ...endless]);
  children.push(child);
  child.stdout?.resume();
  const ended = once(child, 'exit').then(() => {
    throw new Error('the run ended before its first steps');
  });
  await Promise.race([seen('log'), ended]);
  return child;
}

/** Waits for a kind of event in the run. */
async function seen(type: RunEvent['type'], after = 0): Promise<RunEvent> {
  const done = new AbortController();
  for await (const event of followEvents(runDir, after, done.signal)) if (event.type === type) return event;
  throw new Error('followEvents ended by itself');
}

describe('a run in a process of its own', () => {
  it('stops on Ctrl-C at a step’s end with a checkpoint, says how to go on, and goes on from there', async () => {
    const child = await longRun();
    let shown = '';
    child.stdout?.on('data', (data) => {
      shown += data;
    });
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
    const end = lastEvent();
    expect(end).toMatchObject({ type: 'end', status: 'stopped' });
    const step = end?.type === 'end' ? end.step : Number.NaN;
    expect(existsSync(join(runDir, 'checkpoints', `step-${step}`))).toBe(true);

    const goOn = /^Go on with +tuneyard (.*)$/m.exec(shown)?.[1];
    const words = spawnSync('sh', ['-c', `printf '%s\\n' ${goOn}`], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n');
    const resumed = await tuneyard([...words, '--set', `max_steps=${step + 2}`]);
    expect(resumed.status).toBe(0);
    expect(events().findLast(({ type }) => type === 'start')).toMatchObject({ step });
    expect(lastEvent()).toMatchObject({ status: 'completed', step: step + 2 });
    expect(JSON.parse(read('recipe.json')).max_steps).toBe(step + 2);
  });

  it('is not disturbed by a second one in the same folder, which is told who is there', async () => {
    const child = await longRun();
    const { status, stderr } = await tuneyard(['train', recipe, '--run-dir', runDir]);
    expect(status).toBe(1);
    expect(stderr).toContain(`process ${child.pid} trains in this run directory`);
    // It goes on as if nothing had been.
    await seen('log', events().at(-1)!.seq);
    expect(events().filter(({ type }) => type === 'start' || type === 'end')).toHaveLength(1);
  });

  it('outlives the terminal that it was started from', async () => {
    const child = await longRun();
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.kill('SIGHUP');
    await seen('log', events().at(-1)!.seq + 20);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(lastEvent()).toMatchObject({ type: 'end', status: 'stopped' });
  });
});
