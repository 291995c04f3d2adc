/** Runs that end where it hurts most: in the middle of writing a checkpoint, at the second Ctrl-C, with checkpoints spoilt. */
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, watch } from 'node:fs';
import { cp, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { collectReport } from '@runner/report/collectReport';
import { writeModelDir } from '@runner/train/checkpoint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildRunner, runRunner, startRunner } from '../support/runner';
import { sourceFolder } from '../unit/decode/namedModel';

const CONFIG = {
  model_type: 'gpt2',
  vocab_size: 290,
  n_embd: 24,
  n_layer: 1,
  n_head: 3,
  // Far more than are used: a checkpoint of 12 MB takes so long to write that a kill finds it half-done.
  n_positions: 40_000,
};

let dir: string;

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-killed-'));
  const parameters = initializeParameters(gpt2.parse(CONFIG, 'config.json'), 3);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  const sourceDir = await sourceFolder(join(dir, 'source'));
  await writeModelDir({ dir: join(dir, 'model'), sourceDir, config: CONFIG, weights });
  const rows = Array.from({ length: 40 }, (_, i) => ({ text: `the mage ${i} of the north and the sword` }));
  await writeFile(join(dir, 'data.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const recipe = {
    model: './model',
    dataset: './data.jsonl',
    max_length: 32,
    pad_to: 'max_length',
    max_steps: 12,
    learning_rate: 1e-2,
    per_device_train_batch_size: 4,
    logging_steps: 1,
    eval_strategy: 'steps',
    eval_steps: 3,
    save_strategy: 'steps',
    save_steps: 2,
  };
  await writeFile(join(dir, 'r.tune.json'), JSON.stringify(recipe));
  expect(await train('whole')).toMatchObject({ status: 0, stderr: '' });
});

afterAll(() => rm(dir, { recursive: true, force: true }));

const options = () => ({ home: join(dir, 'home'), cwd: dir });
const words = (name: string, more: string[]) => ['train', 'r.tune.json', '--run-dir', name, ...more];
const train = (name: string, ...more: string[]) => runRunner(words(name, more), options());
const start = (name: string, ...more: string[]) => startRunner(words(name, more), options());
const checkpointsOf = (name: string) => readdirSync(join(dir, name, 'checkpoints')).sort();
const events = (name: string): RunEvent[] =>
  readFileSync(join(dir, name, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent);

/** What the report shows of a run, without times: each step once, whatever a killed process had said of it before. */
async function curves(name: string) {
  const { log, log_events, evals, status, step } = await collectReport(join(dir, name));
  const { loss, smooth, learning_rate, grad_norm, tokens_seen } = log;
  return { steps: log.step, loss, smooth, learning_rate, grad_norm, tokens_seen, log_events, evals, status, step };
}

async function expectAsWhole(name: string): Promise<void> {
  expect(await curves(name)).toEqual(await curves('whole'));
  const [ours, whole] = [name, 'whole'].map((run) => readFileSync(join(dir, run, 'model', 'model.safetensors')));
  expect(ours!.equals(whole!)).toBe(true);
  expect(events(name).map(({ seq }) => seq)).toEqual(events(name).map((_, i) => i + 1));
  expect(checkpointsOf(name)).toEqual(checkpointsOf('whole'));
}

const warnings = (name: string) => events(name).filter((event) => event.type === 'warning');

/** Kills a run as soon as it begins to write a checkpoint. */
async function killWhileSaving(name: string): Promise<void> {
  const root = join(dir, name, 'checkpoints');
  await mkdir(join(dir, name), { recursive: true });
  const child = start(name, ...(existsSync(root) ? ['--resume'] : []));
  child.stdout.resume();
  const closing = new AbortController();
  const seen = (folder: string, act: (file: string) => void) =>
    watch(folder, { signal: closing.signal }, (_, file) => file !== null && act(file));
  const killAtFirst = () =>
    seen(root, (file) => {
      if (file.includes(`.tmp-${child.pid}`)) child.kill('SIGKILL');
    });
  if (existsSync(root)) killAtFirst();
  else seen(join(dir, name), (file) => file === 'checkpoints' && killAtFirst());
  await once(child, 'exit');
  closing.abort();
}

describe('a run killed while it writes a checkpoint', () => {
  it('goes on from the one before, says which was cut short, and ends as if nothing had been', async () => {
    let cut: string[] = [];
    for (let attempt = 0; attempt < 5 && cut.length === 0; attempt++) {
      await killWhileSaving('saving');
      cut = checkpointsOf('saving').filter((checkpoint) => checkpoint.includes('.tmp-'));
    }
    expect(cut).toHaveLength(1);
    expect(await train('saving', '--resume')).toMatchObject({ status: 0 });
    expect(warnings('saving')).toContainEqual(
      expect.objectContaining({ code: 'checkpoint_skipped', message: expect.stringContaining(cut[0]!) }),
    );
    await expectAsWhole('saving');
  });
});

describe('checkpoints that the disk spoilt', () => {
  const spoil: Record<string, (checkpoint: string) => Promise<void>> = {
    async 'a flipped bit in the optimizer’s state'(checkpoint) {
      const file = await open(join(checkpoint, 'optimizer.safetensors'), 'r+');
      const { size } = await file.stat();
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, size - 5);
      byte[0]! ^= 16;
      await file.write(byte, 0, 1, size - 5);
      await file.close();
    },
    'no manifest': (checkpoint) => rm(join(checkpoint, 'manifest.json')),
    'no state': (checkpoint) => rm(join(checkpoint, 'trainer_state.json')),
  };

  it.each(Object.keys(spoil))('are passed over, with a warning: %s in the newest two', async (how) => {
    const name = `spoilt-${Object.keys(spoil).indexOf(how)}`;
    await cp(join(dir, 'whole'), join(dir, name), { recursive: true });
    for (const step of [10, 12]) await spoil[how]!(join(dir, name, 'checkpoints', `step-${step}`));
    expect(await train(name, '--resume')).toMatchObject({ status: 0 });
    expect(warnings(name).map(({ code, message }) => [code, /step-\d+/.exec(message)?.[0]])).toEqual([
      ['checkpoint_skipped', 'step-12'],
      ['checkpoint_skipped', 'step-10'],
    ]);
    expect(events(name).findLast(({ type }) => type === 'start')).toMatchObject({ step: 8 });
    await expectAsWhole(name);
  });
});

describe('a run that goes on from a checkpoint before its newest', () => {
  it('sets the later ones aside, so that nobody takes them for its own, and keeps them', async () => {
    await cp(join(dir, 'whole'), join(dir, 'named'), { recursive: true });
    const from = join(dir, 'named', 'checkpoints', 'step-6');
    expect(await train('named', '--set', `resume_from_checkpoint=${from}`)).toMatchObject({ status: 0 });
    const [warning, ...more] = warnings('named').filter(({ code }) => code === 'checkpoints_set_aside');
    expect(more).toEqual([]);
    const aside = checkpointsOf('named').filter((name) => name.startsWith('set-aside-'));
    expect(warning?.message).toContain(`goes on from step 6: its later checkpoints are now in ${dir}`);
    expect(warning?.message.endsWith(`${aside[0]}.`)).toBe(true);
    expect(readdirSync(join(dir, 'named', 'checkpoints', aside[0]!)).sort()).toEqual(['step-10', 'step-12', 'step-8']);
    expect(checkpointsOf('named').filter((name) => name !== aside[0])).toEqual(checkpointsOf('whole'));
    expect(events('named').findLast(({ type }) => type === 'start')).toMatchObject({ step: 6 });
  });
});

describe('a best checkpoint that the disk spoilt', () => {
  it('costs the best weights, not the run: the last ones become the model, and that is said', async () => {
    // With such steps the evaluation loss is lowest early on.
    const settings = ['learning_rate=3', 'lr_scheduler_type=constant', 'save_steps=3', 'load_best_model_at_end=true'];
    const set = settings.flatMap((setting) => ['--set', setting]);
    expect(await train('best', ...set)).toMatchObject({ status: 0 });
    const end = events('best').at(-1) as Extract<RunEvent, { type: 'end' }>;
    expect(end.best_step).toBeLessThan(12);
    const weights = (...of: string[]) => readFileSync(join(dir, 'best', ...of, 'model.safetensors'));
    const best = join('checkpoints', `step-${end.best_step}`);
    expect(weights('model').equals(weights(best))).toBe(true);

    await rm(join(dir, 'best', 'model'), { recursive: true });
    await rm(join(dir, 'best', best, 'manifest.json'));
    expect(await train('best', '--resume', ...set)).toMatchObject({ status: 0 });
    expect(weights('model').equals(weights('checkpoints', 'step-12'))).toBe(true);
    expect(warnings('best').at(-1)).toMatchObject({
      code: 'best_checkpoint_unusable',
      message: expect.stringContaining(`step-${end.best_step}`),
    });
  });
});

describe('a second Ctrl-C', () => {
  it('ends a run at once, in the middle of what the first one makes it save, and it can begin again', async () => {
    const text = 'the mage of the north and the sword of the south. '.repeat(16);
    await writeFile(join(dir, 'long.jsonl'), `${JSON.stringify({ text })}\n`.repeat(36));
    const long = ['dataset.path=long.jsonl', 'dataset.test_size=0', 'max_length=500', 'gradient_accumulation_steps=9'];
    const set = [...long, 'eval_strategy=no', 'save_steps=50'].flatMap((setting) => ['--set', setting]);
    const child = start('twice', '--json', ...set);
    let said = '';
    child.stdout.on('data', (data) => {
      const before = said;
      said += data;
      if (!before.includes('"type":"log"') && said.includes('"type":"log"')) child.kill('SIGINT');
    });
    child.stderr.on('data', (data: Buffer) => {
      if (!data.includes('Stopping')) return;
      // Held up until a second signal counts as a second one, or a fast machine would have ended by itself.
      child.kill('SIGSTOP');
      setTimeout(() => {
        child.kill('SIGINT');
        child.kill('SIGCONT');
      }, 400);
    });
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect(events('twice').at(-1)).toMatchObject({ type: 'end', status: 'failed', code: 'cancelled' });
    expect(checkpointsOf('twice')).toEqual([]);
    const again = await train('twice', '--resume', ...set, '--set', 'max_steps=1');
    expect(again).toMatchObject({ status: 0, stderr: expect.stringContaining('the run begins at step 0') });
    expect(events('twice').at(-1)).toMatchObject({ type: 'end', status: 'completed', step: 1 });
  });
});

describe('a run that stopped early', () => {
  it('stays stopped when it is resumed, as one would that was killed right before its end', async () => {
    const settings = ['eval_steps=2', 'early_stopping_patience=2', 'early_stopping_threshold=100'];
    const set = settings.flatMap((setting) => ['--set', setting]);
    expect(await train('early', ...set)).toMatchObject({ status: 0 });
    const end = events('early').at(-1);
    expect(end).toMatchObject({ status: 'completed' });
    expect(end?.step).toBeLessThan(12);
    const model = readFileSync(join(dir, 'early', 'model', 'model.safetensors'));
    await rm(join(dir, 'early', 'model'), { recursive: true });
    expect(await train('early', '--resume', ...set)).toMatchObject({ status: 0 });
    expect(events('early').at(-1)).toMatchObject({ status: 'completed', step: end?.step });
    expect(readFileSync(join(dir, 'early', 'model', 'model.safetensors')).equals(model)).toBe(true);
  });
});
