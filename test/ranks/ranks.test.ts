/** Trainings on several ranks, by the shipped program and a real mpirun, against the same training on one. */
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LogEvent, RunEvent } from '@protocol/events';
import { isProcessAlive } from '@runner/hub/processAlive';
import { openSafetensors } from '@runner/hub/safetensors';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeRanksModel } from '../support/ranksModel';
import { buildRunner, runRunner, startRunner } from '../support/runner';

/** Steps of four micro-batches; the last of an epoch has fewer. */
const STEP = 4;

let dir: string;

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-ranks-'));
  await writeRanksModel(dir, 180);
  expect(await train('one', { accumulation: STEP })).toMatchObject({ status: 0, stderr: '' });
});
afterAll(() => rm(dir, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

interface Ranks {
  ranks?: number;
  accumulation?: number;
  more?: string[];
}

const options = () => ({ home: join(dir, 'home'), cwd: dir });
function words(name: string, { ranks = 1, accumulation = STEP / ranks, more = [] }: Ranks): string[] {
  const settings = [`world_size=${ranks}`, `gradient_accumulation_steps=${accumulation}`];
  return ['train', 'r.tune.json', '--run-dir', name, ...settings.flatMap((each) => ['--set', each]), ...more];
}
/** Starts a training and does something once, as soon as it has come so far. */
function startAndAt(step: number, act: (child: ReturnType<typeof startRunner>) => void, name: string, ranks: Ranks) {
  const child = startRunner([...words(name, ranks), '--json'], options());
  let isDone = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as RunEvent;
    if (isDone || event.type !== 'log' || event.step < step) return;
    isDone = true;
    act(child);
  });
  return child;
}
const pidOf = (name: string, rank: number) =>
  Number(/process (\d+)/.exec(readFileSync(join(dir, name, 'ranks', `rank-${rank}.log`), 'utf8'))?.[1]);
const train = (name: string, ranks: Ranks) => runRunner(words(name, ranks), options());
const events = (name: string): RunEvent[] =>
  readFileSync(join(dir, name, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent);
const logs = (name: string): LogEvent[] => events(name).filter((event) => event.type === 'log');

async function weightsOf(name: string): Promise<Float32Array> {
  const file = await openSafetensors(join(dir, name, 'model', 'model.safetensors'));
  const tensors = await Promise.all(file.names().map((tensor) => file.readFloat32(tensor)));
  return Float32Array.from(tensors.flatMap((tensor) => [...tensor]));
}

const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);
const length = (x: Float32Array) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

/** The same curve, evaluations and weights as one rank came to. */
async function expectAsOne(name: string): Promise<void> {
  const [ours, one] = [logs(name), logs('one')];
  expect(ours.map(({ step, supervised_tokens, tokens_seen }) => [step, supervised_tokens, tokens_seen])).toEqual(
    one.map(({ step, supervised_tokens, tokens_seen }) => [step, supervised_tokens, tokens_seen]),
  );
  for (const [i, { loss, grad_norm }] of ours.entries()) {
    expect(relative(loss, one[i]!.loss)).toBeLessThan(1e-5);
    expect(relative(grad_norm, one[i]!.grad_norm)).toBeLessThan(1e-5);
  }
  const losses = (of: string) => events(of).flatMap((event) => (event.type === 'eval' ? [event.eval_loss] : []));
  expect(losses(name)).toHaveLength(2);
  for (const [i, loss] of losses(name).entries()) expect(relative(loss, losses('one')[i]!)).toBeLessThan(1e-5);
  const [mine, theirs] = [await weightsOf(name), await weightsOf('one')];
  expect(length(mine.map((value, i) => value - theirs[i]!)) / length(theirs)).toBeLessThan(1e-5);
}

describe('ranks whose weights are in the memory of GPUs', () => {
  const compiler = '/usr/bin/mpicc.mpich';
  const source = fileURLToPath(new URL('../support/ncclStandIn.c', import.meta.url));
  const isThere = spawnSync(compiler, ['-fsyntax-only', source]).status === 0;
  const title = isThere ? '' : ' (needs the Debian packages libmpich-dev and gcc)';
  const stages = [
    [0, 'whole'],
    [1, 'a part in each'],
    [2, 'a part in each, as of gradients'],
  ] as const;

  it.skipIf(!isThere).each(stages)(
    `exchange gradients by NCCL, without a way through the host: zero_stage %i, moments %s${title}`,
    async (stage) => {
      const library = join(dir, 'libnccl.so');
      await promisify(execFile)(compiler, ['-shared', '-fPIC', '-O1', '-o', library, source]);
      const log = join(dir, `groups-${stage}`);
      vi.stubEnv('TUNEYARD_MPIRUN', '/usr/bin/mpirun.mpich');
      vi.stubEnv('TUNEYARD_MEMORY', 'apart');
      vi.stubEnv('TUNEYARD_NCCL', library);
      vi.stubEnv('NCCL_STAND_IN_LOG', log);
      const name = `nccl-${stage}`;
      expect(await train(name, { ranks: 2, more: ['--set', `zero_stage=${stage}`] })).toMatchObject({
        status: 0,
        stderr: '',
      });
      vi.unstubAllEnvs();
      await expectAsOne(name);
      expect(events(name).some((event) => event.type === 'warning' && event.code === 'nccl')).toBe(false);
      // On two ranks.
      const steps = events(name).findLast((event) => event.type === 'end')!.step;
      const exchanges = (readFileSync(log, 'utf8').split('\n').length - 1) / (2 * steps);
      // A sum of weights and one of the rest, after each batch where gradients are spread; then what each has updated.
      if (stage === 2) expect(exchanges).toBeGreaterThan(3);
      else expect(exchanges).toBe(2 + stage);
    },
  );
});

describe.each([
  { name: 'Open MPI', program: '/usr/bin/mpirun.openmpi', install: 'openmpi-bin', all: true },
  // Ranks that wait keep their cores busy here: what does not depend on the family is not done twice.
  { name: 'MPICH', program: '/usr/bin/mpirun.mpich', install: 'mpich', all: false },
])('ranks started by $name', ({ program, install, all }) => {
  const title = existsSync(program) ? '' : ` (needs the Debian package ${install})`;
  const test = it.skipIf(!existsSync(program));
  const testOnce = all ? test : () => {};
  const on = (ranks: number, more: string[] = []) => {
    vi.stubEnv('TUNEYARD_MPIRUN', program);
    return { ranks, more };
  };

  test(`train as one does: two, each with a part of the moments${title}`, async () => {
    const { status, stdout, stderr } = await train(`${install}-2`, on(2));
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^Ranks +2: \S+ CPU, \S+ CPU$/m);
    await expectAsOne(`${install}-2`);
    const start = events(`${install}-2`).find((event) => event.type === 'start');
    expect(start?.ranks).toEqual([
      { host: expect.stringMatching(/\w/), device: 'CPU' },
      { host: expect.stringMatching(/\w/), device: 'CPU' },
    ]);
    for (const { rank_seconds } of logs(`${install}-2`)) expect(rank_seconds).toHaveLength(2);
    expect(readdirSync(join(dir, `${install}-2`, 'ranks')).sort()).toEqual(['rank-0.log', 'rank-1.log']);
  });

  testOnce(`train as one does where weights and gradients are in a device’s memory: two${title}`, async () => {
    vi.stubEnv('TUNEYARD_MEMORY', 'apart');
    expect(await train(`${install}-apart`, on(2))).toMatchObject({ status: 0 });
    vi.unstubAllEnvs();
    await expectAsOne(`${install}-apart`);
    const warning = events(`${install}-apart`).find((event) => event.type === 'warning' && event.code === 'nccl');
    expect(warning).toMatchObject({ message: expect.stringMatching(/through the host’s memory.*libnccl\.so\.2/) });
  });

  testOnce(`train as one does: two and four, each with a part of the gradients${title}`, async () => {
    for (const ranks of [2, 4]) {
      const name = `${install}-own-${ranks}`;
      expect(await train(name, on(ranks, ['--set', 'zero_stage=2']))).toMatchObject({ status: 0, stderr: '' });
      await expectAsOne(name);
    }
  });

  testOnce(
    `train as one does: four, each with all the moments, some without work in the last step of an epoch${title}`,
    async () => {
      expect(await train(`${install}-4`, on(4, ['--set', 'zero_stage=0']))).toMatchObject({ status: 0, stderr: '' });
      await expectAsOne(`${install}-4`);
    },
  );

  testOnce(`go on where others stopped, as many as there are then${title}`, async () => {
    const name = `${install}-again`;
    const child = startAndAt(2, (child) => child.kill('SIGINT'), name, on(2));
    child.stderr.resume();
    expect((await once(child, 'close'))[0]).toBe(0);
    const stopped = events(name).at(-1);
    expect(stopped).toMatchObject({ type: 'end', status: 'stopped' });
    expect(stopped!.step).toBeLessThan(38);
    expect(await train(name, { ...on(4), more: ['--resume'] })).toMatchObject({ status: 0, stderr: '' });
    await expectAsOne(name);
  });

  test(`end within seconds where one of them dies, with what it said; and go on${title}`, async () => {
    const name = `${install}-dies`;
    const saving = on(2, ['--set', 'save_strategy=steps', '--set', 'save_steps=1']);
    const child = startAndAt(2, () => process.kill(pidOf(name, 1), 'SIGKILL'), name, saving);
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    expect((await once(child, 'close'))[0]).toBe(1);
    expect(said).toMatch(/a rank ended/);
    await vi.waitFor(
      () => expect([0, 1].map((rank) => isProcessAlive(pidOf(name, rank)))).toEqual([false, false]),
      10_000,
    );
    expect(events(name).at(-1)).toMatchObject({ type: 'end', status: 'failed', code: 'mpi_failed' });
    expect(await train(name, { ...on(2), more: ['--resume'] })).toMatchObject({ status: 0 });
    expect(events(name).at(-1)).toMatchObject({ type: 'end', status: 'completed' });
  });

  testOnce(`end with the one who started them${title}`, async () => {
    const name = `${install}-orphans`;
    const child = startAndAt(1, (child) => child.kill('SIGKILL'), name, on(2));
    child.stderr.resume();
    await once(child, 'close');
    expect(events(name).at(-1)!.type).not.toBe('end');
    await vi.waitFor(
      () => expect([0, 1].map((rank) => isProcessAlive(pidOf(name, rank)))).toEqual([false, false]),
      10_000,
    );
  });

  test(`say what one would where the recipe is wrong${title}`, async () => {
    const wrong = on(2, ['--set', 'dataset.path=nothing.jsonl']);
    const { status, stderr } = await train(`${install}-wrong`, wrong);
    const alone = await train(`${install}-alone`, { more: wrong.more });
    expect(alone.status).toBe(2);
    expect({ status, stderr }).toEqual({ status: alone.status, stderr: alone.stderr });
  });
});

describe('ranks without MPI', () => {
  it('are not to be had, and what to install is said', async () => {
    vi.stubEnv('TUNEYARD_MPIRUN', join(dir, 'no-mpirun'));
    const { status, stderr } = await train('none', { ranks: 2 });
    expect(status).toBe(1);
    expect(stderr).toMatch(/world_size above 1 needs MPI, and there is no mpirun here: install it/);
  });
});
