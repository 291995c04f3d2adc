/** A VM that is taken away takes no run along: it goes on elsewhere, from the step at which it was broken off. */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import { WATCHDOG_EXIT } from '@protocol/watchdog';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { type Served, startServe } from '../support/serve';
import { tinyProject } from '../unit/cli/support';
import { WatchedVm } from './watchedVm';

let dir: string;
let vm: WatchedVm;
const vms: WatchedVm[] = [];
const serving: Served[] = [];

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-preemption-'));
  await tinyProject(dir, {});
});
afterAll(() => rm(dir, { recursive: true, force: true }));
beforeEach(async () => {
  vm = await WatchedVm.make();
  vms.push(vm);
});
afterEach(async () => {
  for (const served of serving.splice(0)) {
    for (const { id, state } of await served.peer.request('runs/list', {})) {
      if (state === 'running' || state === 'queued') await served.peer.request('runs/kill', { run: id });
    }
    await served.close();
  }
  for (const each of vms.splice(0)) await each.dispose();
});

async function serve(on = vm): Promise<Served> {
  const served = await startServe(on.tuneyard, { HOME: on.home });
  serving.push(served);
  return served;
}

/** Data and model lie where those that were sent do: they have to come along. */
async function project(settings: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
  const data = join(vm.tuneyard, 'data');
  await cp(dir, data, { recursive: true });
  return {
    model: join(data, 'model'),
    dataset: join(data, 'data.jsonl'),
    device: 'cpu',
    max_length: 16,
    per_device_train_batch_size: 4,
    logging_steps: 1,
    eval_strategy: 'no',
    save_strategy: 'steps',
    save_steps: 10,
    save_total_limit: 2,
    // More than a test waits for.
    max_steps: 100_000,
    ...settings,
  };
}

const eventsOf = async (on: WatchedVm, run: string): Promise<RunEvent[]> =>
  (await readFile(join(on.tuneyard, 'runs', run, 'events.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent);
const stateOf = async ({ peer }: Served, run: string) => (await peer.request('runs/get', { run })).state;
const stepOf = async ({ peer }: Served, run: string) => (await peer.request('runs/get', { run })).step;

/** Each step once, in order, whichever machine did it. */
function expectEveryStep(events: readonly RunEvent[], upTo: number): void {
  const steps = events.filter(({ type }) => type === 'log').map(({ step }) => step);
  expect(steps.slice(0, upTo)).toEqual(Array.from({ length: upTo }, (_, i) => i + 1));
}

const bucket = { kind: 'bucket' as const, bucket: 'results' };

describe('a preempted VM', () => {
  it('leaves its run in the bucket at the step it had reached, and another VM goes on from there', async () => {
    vm.hasAccount = true;
    vm.order({ spot: true, artifacts: bucket });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: await project(), name: 'spot' });
    const dog = vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(async () => expect(await stepOf(served, id)).toBeGreaterThan(20));
    vm.preempt();
    await vm.until(() => expect(dog.log()).toContain('is kept in the bucket'));
    expect(vm.states).toContain('preempted');
    const { state, step } = await served.peer.request('runs/get', { run: id });
    expect(state).toBe('stopped');
    // It waits for the end, and does not start anything anew.
    expect(dog.process.exitCode).toBeNull();
    dog.process.kill('SIGTERM');
    expect(await dog.exit).toBe(WATCHDOG_EXIT.settled);

    // Elsewhere: another home, and all that there is of the first VM is its bucket.
    const other = await WatchedVm.make(vm.storage);
    vms.push(other);
    other.hasAccount = true;
    other.id = '4712';
    await rm(vm.tuneyard, { recursive: true });
    await rm(join(dir, 'gone'), { recursive: true, force: true });
    other.order({ vm: 'vm-2', spot: true, artifacts: bucket, resume: { bucket: 'results', vm: 'vm' } });
    other.start({ TUNEYARD_VM_BOOT: 'b' });
    const there = await serve(other);
    await other.until(async () => expect(await stateOf(there, id)).toBe('running'));
    await other.until(async () => expect(await stepOf(there, id)).toBeGreaterThan(step + 5));
    const events = await eventsOf(other, id);
    const again = events.filter(({ type }) => type === 'start').at(-1);
    expect(again).toMatchObject({ step });
    expectEveryStep(events, step + 5);
  });

  it('has older checkpoints in the bucket already, should the last one not arrive in time', async () => {
    vm.hasAccount = true;
    vm.order({ spot: true, artifacts: bucket });
    const served = await serve();
    // So few that one is still there when all of it has been copied.
    const recipe = await project({ save_steps: 500 });
    const { id } = await served.peer.request('runs/start', { recipe, name: 'spot' });
    vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(() => {
      const names = vm.storage.names('results');
      expect(names.some((name) => /\/checkpoints\/step-\d+\/manifest\.json$/.test(name))).toBe(true);
    });
    expect(await stateOf(served, id)).toBe('running');
  });

  it('goes on from its own disk, without being asked, when that boots again or boots another VM', async () => {
    vm.order({ spot: true });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: await project(), name: 'spot' });
    const first = vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(async () => expect(await stepOf(served, id)).toBeGreaterThan(5));
    vm.preempt();
    await vm.until(async () => expect(await stateOf(served, id)).toBe('stopped'));
    first.process.kill('SIGTERM');
    await first.exit;
    const step = await stepOf(served, id);

    vm.isPreempted = false;
    // The same boot: it was only the watchdog that started again.
    const same = vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    expect(await stateOf(served, id)).toBe('stopped');
    same.process.kill('SIGKILL');
    await same.exit;
    vm.start({ TUNEYARD_VM_BOOT: 'b' });
    await vm.until(async () => expect(await stateOf(served, id)).toBe('running'));
    await vm.until(async () => expect(await stepOf(served, id)).toBeGreaterThan(step + 5));
    expectEveryStep(await eventsOf(vm, id), step + 5);
  });

  it('leaves alone what a person had stopped, and what had ended', async () => {
    vm.order({ spot: true });
    const served = await serve();
    const stopped = await served.peer.request('runs/start', { recipe: await project(), name: 'stopped' });
    const dog = vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(() => expect(vm.guest.state).toBe('busy'));
    await served.peer.request('runs/stop', { run: stopped.id });
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    vm.preempt();
    await vm.until(() => expect(vm.guest.state).toBe('preempted'));
    dog.process.kill('SIGTERM');
    await dog.exit;
    vm.isPreempted = false;
    vm.guest.state = '';
    vm.start({ TUNEYARD_VM_BOOT: 'b' });
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    expect(await stateOf(served, stopped.id)).toBe('stopped');
  });
});

describe('a VM whose machine fails without a warning', () => {
  it('goes on with its runs from their last checkpoints when it is there again', async () => {
    vm.order({});
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: await project(), name: 'crash' });
    const dog = vm.start({ TUNEYARD_VM_BOOT: 'a' });
    await vm.until(() => expect(vm.guest.state).toBe('busy'));
    await vm.until(async () => expect(await stepOf(served, id)).toBeGreaterThan(20));
    dog.process.kill('SIGKILL');
    const [start] = (await eventsOf(vm, id)).filter((event) => event.type === 'start');
    process.kill(start?.type === 'start' ? start.pid : 0, 'SIGKILL');
    await dog.exit;
    await vm.until(async () => expect(await stateOf(served, id)).toBe('crashed'));
    vm.start({ TUNEYARD_VM_BOOT: 'b' });
    await vm.until(async () => expect(await stateOf(served, id)).toBe('running'));
    await vm.until(async () => {
      const [, again] = (await eventsOf(vm, id)).filter((event) => event.type === 'start');
      expect(again?.step).toBeGreaterThanOrEqual(20);
      expect((again?.step ?? 0) % 10).toBe(0);
    });
  });
});
