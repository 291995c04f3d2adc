/** A VM that nobody uses does not go on costing money, and one that somebody uses is left alone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startupMetadata } from '@host/cloud/startup';
import { WATCHDOG_EXIT, WATCHDOG_ITEM } from '@protocol/watchdog';
import { isProcessAlive } from '@runner/hub/processAlive';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { type Served, startServe } from '../support/serve';
import { sshdMissing, startSshd } from '../support/ssh/sshd';
import { tinyProject } from '../unit/cli/support';
import { SPEED, WatchedVm } from './watchedVm';

let dir: string;
let vm: WatchedVm;
const serving: Served[] = [];

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-watchdog-'));
  await tinyProject(dir, {});
});
afterAll(() => rm(dir, { recursive: true, force: true }));
beforeEach(async () => {
  vm = await WatchedVm.make();
});
afterEach(async () => {
  for (const served of serving.splice(0)) {
    for (const { id, state } of await served.peer.request('runs/list', {})) {
      if (state === 'running' || state === 'queued') await served.peer.request('runs/kill', { run: id });
    }
    await served.close();
  }
  await vm.dispose();
});

async function serve(): Promise<Served> {
  const served = await startServe(vm.tuneyard, { HOME: vm.home });
  serving.push(served);
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
  max_steps: 20,
  ...more,
});
const ENDLESS = { max_steps: 1_000_000, save_strategy: 'steps', save_steps: 500, save_total_limit: 1 };

/** On the watchdog's clock. */
const minutes = (count: number) => sleep((count * 60_000) / SPEED);
const idle = () => Number(vm.guest.idle_seconds);
/** Time on the watchdog's clock, as it was last told. */
const told = () => Date.parse(vm.guest.time ?? '');

async function ended({ peer }: Served, run: string): Promise<void> {
  await vm.until(async () => expect((await peer.request('runs/get', { run })).state).toBe('completed'));
}

describe('an idle VM', () => {
  it('is switched off when its minutes are over, and not before, where it may not delete itself', async () => {
    vm.order({ idle_minutes: 10 });
    const dog = vm.start();
    await vm.until(() => expect(told()).toBeGreaterThan(0));
    const began = told();
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(idle()).toBeGreaterThanOrEqual(600);
    // It looks every half minute.
    expect(told() - began).toBeLessThan(13 * 60_000);
    expect(vm.guest).toMatchObject({ state: 'stopping', runs: '0' });
    expect(vm.guest.reason).toMatch(/idle for 10 min.*cannot delete itself.*no service account/);
  });

  it('stays where it was told to stay, and until it was told anything', async () => {
    const untold = await WatchedVm.make();
    const dog = untold.start();
    vm.order({ idle_minutes: 0 });
    const other = vm.start();
    await vm.until(() => expect(idle()).toBeGreaterThan(2 * 3600));
    expect(Number(untold.guest.idle_seconds)).toBeGreaterThan(3600);
    expect([dog.process.exitCode, other.process.exitCode]).toEqual([null, null]);
    await untold.dispose();
  });

  it('hears of new settings at once, however long it waits for its next look', async () => {
    vm.order({ idle_minutes: 0 });
    // A look every 30 real seconds.
    const dog = vm.start({ TUNEYARD_WATCHDOG_SPEED: '1' });
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    vm.order({ idle_minutes: 0 }, new Date(Date.now() - 1000));
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.guest.reason).toContain('its time is up');
  });

  it('keeps to what it was told last while the metadata server is away, also after a restart', async () => {
    vm.order({ idle_minutes: 40, idle_action: 'stop' });
    const first = vm.start();
    await vm.until(() => expect(idle()).toBeGreaterThan(60));
    vm.metadata.setAway(true);
    const heard = idle();
    await minutes(10);
    expect(idle()).toBe(heard);
    expect(first.process.exitCode).toBeNull();
    vm.metadata.setAway(false);
    await vm.until(() => expect(idle()).toBeGreaterThan(600));
    first.process.kill('SIGTERM');
    expect(await first.exit).toBe(WATCHDOG_EXIT.settled);
    // Settings that nobody can read are no settings.
    vm.items = { [WATCHDOG_ITEM]: '{"idle_minutes": "soon"' };
    const second = vm.start();
    expect(await second.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.guest.reason).toBe('it was idle for 40 min');
  });

  it('is left alone where its runs cannot be read', async () => {
    vm.order({ idle_minutes: 1 });
    await mkdir(vm.tuneyard);
    await writeFile(join(vm.tuneyard, 'runs'), 'a disk that went bad');
    const dog = vm.start();
    await vm.until(() => expect(vm.guest.reason).toContain('the runs cannot be listed'));
    await vm.until(() => expect(told()).toBeGreaterThan(0));
    const since = told();
    await vm.until(() => expect(told() - since).toBeGreaterThan(20 * 60_000));
    expect(vm.guest).toMatchObject({ state: 'busy', runs: '-1', idle_seconds: '0' });
    expect(dog.process.exitCode).toBeNull();
  });
});

describe('a VM with runs', () => {
  it('stays while a run goes on, and is kept with its disk until the results are fetched', async () => {
    vm.order({ idle_minutes: 5 });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: recipe(ENDLESS), name: 'long' });
    const dog = vm.start();
    await vm.until(() => expect(vm.guest).toMatchObject({ state: 'busy', runs: '1' }));
    await vm.until(() => expect(told()).toBeGreaterThan(0));
    const since = told();
    await vm.until(() => expect(told() - since).toBeGreaterThan(30 * 60_000));
    expect(dog.process.exitCode).toBeNull();
    await served.peer.request('runs/stop', { run: id });
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.guest.reason).toContain(`1 run(s) are not fetched yet (${id})`);
    expect(vm.states).not.toContain('deleting');
  });

  it('goes when what they left is fetched, and not when only what was there before is', async () => {
    vm.order({ idle_minutes: 5 });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: recipe(), name: 'short' });
    await ended(served, id);
    await served.peer.request('runs/fetched', { run: id, what: 'model' });
    const dog = vm.start();
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.states).toContain('deleting');
    expect(vm.guest.reason).toContain('cannot delete itself');
    const file = join(vm.tuneyard, 'runs', id, 'fetched.json');
    const fetched = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ ...fetched, seq: fetched.seq - 1 }));
    const again = vm.start();
    await again.exit;
    expect(vm.guest.reason).toContain('not fetched yet');
  });

  it('goes after the last of them where that was asked for, however many idle minutes it has', async () => {
    vm.order({ idle_minutes: 600, end_after_last_run: true, idle_action: 'stop' });
    const dog = vm.start();
    await vm.until(() => expect(idle()).toBeGreaterThan(300));
    const served = await serve();
    const first = await served.peer.request('runs/start', { recipe: recipe({ max_steps: 200 }), name: 'one' });
    const second = await served.peer.request('runs/start', { recipe: recipe(), name: 'two' });
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.guest.reason).toContain('its last run has ended');
    for (const { id } of [first, second]) {
      expect((await served.peer.request('runs/get', { run: id })).state).toBe('completed');
    }
  });

  it('lets them write a checkpoint when its time is up', async () => {
    vm.order({ idle_minutes: 0 }, new Date(Date.now() + 3_600_000));
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: recipe(ENDLESS), name: 'long' });
    const dog = vm.start();
    await vm.until(() => expect(vm.guest.state).toBe('busy'));
    await vm.until(() => expect(told()).toBeGreaterThan(0));
    vm.order({ idle_minutes: 0 }, new Date(told() + 10 * 60_000));
    await dog.exit;
    const { state, step } = await served.peer.request('runs/get', { run: id });
    expect(state).toBe('stopped');
    expect(await readdir(join(vm.tuneyard, 'runs', id, 'checkpoints'))).toEqual([`step-${step}`]);
  });
});

describe.skipIf(sshdMissing)(`somebody on the VM over SSH (${sshdMissing ?? 'with sshd'})`, () => {
  it('holds it while something runs, not by leaving a shell open', async () => {
    const sshd = await startSshd();
    vm.order({ idle_minutes: 5, idle_action: 'stop' });
    const ssh = (...argv: string[]) =>
      spawn('ssh', ['-F', join(sshd.dir, 'config'), '-tt', 'vm', ...argv], { stdio: ['pipe', 'ignore', 'ignore'] });
    await writeFile(join(sshd.dir, 'config'), sshd.sshConfig('vm'));
    const shell = ssh('sh');
    const work = ssh('sleep 1000');
    const dog = vm.start({ TUNEYARD_VM_HOME: sshd.home });
    await vm.until(() => expect(vm.guest.reason).toBe('somebody runs sleep over SSH'));
    await vm.until(() => expect(told()).toBeGreaterThan(0));
    const since = told();
    await vm.until(() => expect(told() - since).toBeGreaterThan(20 * 60_000));
    expect(dog.process.exitCode).toBeNull();
    work.kill();
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(shell.exitCode).toBeNull();
    shell.kill();
    await sshd.dispose();
  });
});

describe('results that are copied to a bucket', () => {
  it('are there, byte for byte, before the VM goes, whatever breaks on the way', async () => {
    vm.hasAccount = true;
    vm.storage.cutAfter.push(0, 1000);
    vm.storage.failWith.push(503, 429, 500);
    vm.order({ idle_minutes: 5, artifacts: { kind: 'bucket', bucket: 'results' } });
    const served = await serve();
    const more = { save_strategy: 'steps', save_steps: 5, eval_strategy: 'steps', eval_steps: 5, save_total_limit: 2 };
    const { id } = await served.peer.request('runs/start', { recipe: recipe(more), name: 'kept' });
    await ended(served, id);
    const dog = vm.start();
    await dog.exit;
    expect(vm.states).toContain('deleting');
    const run = join(vm.tuneyard, 'runs', id);
    const names = vm.storage.names('results');
    expect(names).toEqual(
      expect.arrayContaining([
        `vm/${id}/recipe.json`,
        `vm/${id}/events.jsonl`,
        `vm/${id}/model/model.safetensors`,
        `vm/${id}/checkpoints/step-20/manifest.json`,
        `vm/${id}/checkpoints/step-20/optimizer.safetensors`,
      ]),
    );
    for (const name of names.filter((each) => each.startsWith(`vm/${id}/`))) {
      const file = await readFile(join(run, name.slice(`vm/${id}/`.length)));
      expect(vm.storage.objects.get(`results/${name}`)?.equals(file), name).toBe(true);
    }
  });

  it('are not lost where the bucket refuses them: the VM is switched off and keeps its disk', async () => {
    vm.hasAccount = true;
    vm.isRefused = true;
    vm.order({ idle_minutes: 5, artifacts: { kind: 'bucket', bucket: 'results' } });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: recipe(), name: 'kept' });
    await ended(served, id);
    const dog = vm.start();
    expect(await dog.exit).toBe(WATCHDOG_EXIT.powerOff);
    expect(vm.guest.reason).toContain('cannot be copied to gs://results');
    expect(vm.states).not.toContain('deleting');
  });

  it('hold the VM until the bucket is there, should that come late', async () => {
    vm.hasAccount = true;
    vm.order({ idle_minutes: 5, artifacts: { kind: 'bucket', bucket: 'late' } });
    const served = await serve();
    const { id } = await served.peer.request('runs/start', { recipe: recipe(), name: 'kept' });
    await ended(served, id);
    vm.start();
    // It tries again and again, and tells of each.
    await vm.until(() => {
      expect(vm.guest.state).toBe('held');
      expect(vm.guest.reason).toContain('bucket does not exist');
    });
    vm.storage.buckets.push('late');
    await vm.until(() => expect(vm.states).toContain('deleting'));
    expect(vm.storage.names('late')).toContain(`vm/${id}/model/model.safetensors`);
  });
});

describe('the startup script', () => {
  const RUNNER = fileURLToPath(new URL('../../remote-runner', import.meta.url));

  /** As the installation leaves it. */
  async function installRunner(): Promise<void> {
    const folder = join(vm.tuneyard, 'runner', '0.1.0-abc');
    await mkdir(folder, { recursive: true });
    for (const name of ['bin', 'dist', 'package.json'])
      await cp(join(RUNNER, name), join(folder, name), { recursive: true });
    await writeFile(join(folder, 'ready'), `node=${process.execPath}\nengine=x\nprovider=cpu\n`);
  }

  async function boot(): Promise<void> {
    const script = join(vm.home, 'startup.sh');
    await writeFile(script, vm.items['startup-script']!);
    const off = join(vm.home, 'off.sh');
    await writeFile(off, `#!/bin/sh\necho off >>"${vm.home}/off"\n`, { mode: 0o755 });
    const child = spawn('bash', [script], { env: vm.environment({ TUNEYARD_POWEROFF: off }), stdio: 'ignore' });
    await once(child, 'exit');
  }

  const pid = async () => Number(await readFile(join(vm.tuneyard, 'watchdog', 'supervisor.pid'), 'utf8'));
  const children = async (of: number) =>
    (await readFile(`/proc/${of}/task/${of}/children`, 'utf8')).trim().split(' ').filter(Boolean).map(Number);
  const off = () => readFile(join(vm.home, 'off'), 'utf8').catch(() => '');

  const settings = {
    vm: 'vm',
    idle_minutes: 60,
    idle_action: 'stop' as const,
    end_after_last_run: false,
    artifacts: { kind: 'fetch' as const },
    labels: {},
    spot: false,
  };

  it('waits for the runner, keeps the watchdog going in less than 60 MB, and switches off for it', async () => {
    vm.items = startupMetadata(settings, { user: 'somebody', deleteAt: new Date(Date.now() + 1e9).toISOString() });
    await boot();
    const supervisor = await pid();
    await installRunner();
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    expect(await pid()).toBe(supervisor);
    // Again: one is enough.
    await boot();
    expect(await pid()).toBe(supervisor);
    const [dog] = await children(supervisor);
    await vm.until(() => expect(idle()).toBeGreaterThan(600));
    const status = await readFile(`/proc/${dog}/status`, 'utf8');
    expect(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(60_000);
    await vm.until(async () => expect(await off()).toBe('off\n'));
    process.kill(supervisor, 'SIGTERM');
    await vm.until(() => expect(isProcessAlive(supervisor)).toBe(false));
  });

  it('starts the watchdog again when it dies', async () => {
    vm.items = startupMetadata(
      { ...settings, idle_minutes: 0 },
      { user: 'somebody', deleteAt: '2099-01-01T00:00:00Z' },
    );
    await installRunner();
    await boot();
    await vm.until(() => expect(vm.guest.state).toBe('idle'));
    const supervisor = await pid();
    const [first] = await children(supervisor);
    process.kill(first!, 'SIGKILL');
    await vm.until(async () => {
      const [second] = await children(supervisor);
      expect(await readFile(`/proc/${second}/cmdline`, 'utf8')).toContain('watchdog');
      expect(second).not.toBe(first);
    });
    process.kill(supervisor, 'SIGTERM');
    await vm.until(() => expect(isProcessAlive(supervisor)).toBe(false));
    expect(await off()).toBe('');
  });
});
