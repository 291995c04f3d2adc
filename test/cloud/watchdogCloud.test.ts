/** From the first insert to the last deletion, against the stand-in for Google: what VMs do to themselves, and what is left. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CloudService } from '@host/cloud/cloudService';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import type { CreateVm } from '@protocol/cloud';
import type { RunEvent } from '@protocol/events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildRunner } from '../support/runner';
import { type Served, startServe } from '../support/serve';
import { sshdMissing } from '../support/ssh/sshd';
import { tinyProject } from '../unit/cli/support';
import { GoogleStandIn } from './standIn/googleStandIn';

const RUNNER = fileURLToPath(new URL('../../remote-runner', import.meta.url));
const PROJECT = 'tune-project';

let dir: string;
let google: GoogleStandIn;
let service: CloudService;
const serving: Served[] = [];

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-watched-'));
  await tinyProject(dir, {});
});
afterAll(() => rm(dir, { recursive: true, force: true }));
beforeEach(async () => {
  // Ten minutes on the watchdogs' clocks in a second; Google's is the wall's.
  process.env.TUNEYARD_WATCHDOG_SPEED = '600';
  google = await GoogleStandIn.start({ operationMs: 50, bootMs: 50, driverMs: 50 });
  const { clock } = google;
  service = new CloudService({
    provider: gceProvider({
      endpoint: google.endpoint,
      credentialsFile: await google.credentialsFile(),
      now: () => clock.now(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
    }),
    home: join(dir, 'laptop', String(google.sshPort)),
    version: '0.1.0',
    user: userInfo().username,
    sshPort: google.sshPort,
    now: () => clock.now(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  });
});
afterEach(async () => {
  delete process.env.TUNEYARD_WATCHDOG_SPEED;
  for (const served of serving.splice(0)) {
    served.process.kill('SIGKILL');
    await served.close();
  }
  service.dispose();
  await google.close();
});

const wish = (more: Partial<CreateVm> = {}): CreateVm => ({
  project: PROJECT,
  name: 'tuneyard-a',
  machine_type: 'g2-standard-4',
  zones: ['us-central1-a', 'us-central1-b'],
  provisioning_model: 'STANDARD',
  max_run_seconds: 10 * 86_400,
  idle_minutes: 60,
  ...more,
});

const homeOf = (vm: string) => google.instance(vm).guest.home;
const tuneyardOf = (vm: string) => join(homeOf(vm), '.tuneyard');
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 50 });
const told = (vm: string, key: string) => google.instance(vm).guest.attributes.get(`tuneyard/${key}`);
const watchdogLog = (vm: string) => readFile(join(tuneyardOf(vm), 'watchdog', 'watchdog.log'), 'utf8').catch(() => '');

/** As the installation leaves it. */
async function installRunner(vm: string): Promise<void> {
  const folder = join(tuneyardOf(vm), 'runner', '0.1.0-abc');
  await mkdir(folder, { recursive: true });
  for (const name of ['bin', 'dist', 'package.json']) await symlink(join(RUNNER, name), join(folder, name));
  await writeFile(join(folder, 'ready'), `node=${process.execPath}\nengine=x\nprovider=cpu\n`);
}

async function serve(vm: string): Promise<Served> {
  const served = await startServe(tuneyardOf(vm), { HOME: homeOf(vm) });
  serving.push(served);
  return served;
}

const recipe = (more: Record<string, unknown> = {}) => ({
  model: join(dir, 'model'),
  dataset: join(dir, 'data.jsonl'),
  device: 'cpu',
  max_length: 16,
  per_device_train_batch_size: 4,
  logging_steps: 1,
  eval_strategy: 'no',
  save_strategy: 'steps',
  save_steps: 10,
  save_total_limit: 2,
  max_steps: 20,
  ...more,
});

async function eventsOf(vm: string, run: string): Promise<RunEvent[]> {
  const text = await readFile(join(tuneyardOf(vm), 'runs', run, 'events.jsonl'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as RunEvent);
}
const stepsOf = async (vm: string, run: string) =>
  (await eventsOf(vm, run)).filter(({ type }) => type === 'log').map(({ step }) => step);

/** Trains for so many steps at least; the run goes on. */
async function begun(vm: string, steps: number): Promise<string> {
  const served = await serve(vm);
  const { id } = await served.peer.request('runs/start', { recipe: recipe({ max_steps: 100_000 }), name: 'long' });
  await until(async () => expect((await stepsOf(vm, id)).length).toBeGreaterThan(steps));
  return id;
}

describe.skipIf(sshdMissing)(`a VM of Google's (${sshdMissing ?? 'with sshd'})`, () => {
  it('deletes itself with all that belongs to it when it is idle and may', async () => {
    await service.create(wish({ service_account: 'default' }));
    await installRunner('tuneyard-a');
    await until(() => expect(google.instances()).toEqual([]));
    expect(google.world.disks.size).toBe(0);
    expect(google.requests.filter(({ name }) => name === 'instances.delete')).toHaveLength(1);
    const { gone } = await service.reconcile();
    expect(gone.map(({ name }) => name)).toEqual(['tuneyard-a']);
  });

  it('switches itself off where it may not', async () => {
    await service.create(wish());
    await installRunner('tuneyard-a');
    await until(() => expect(google.instance('tuneyard-a').status).toBe('TERMINATED'));
    expect(told('tuneyard-a', 'state')).toBe('stopping');
    expect(told('tuneyard-a', 'reason')).toContain('no service account');
    const [view] = await service.list({ refresh: true });
    expect(view).toMatchObject({ name: 'tuneyard-a', state: 'TERMINATED' });
  });

  it('is not deleted behind a person’s back while results are on it that are nowhere else', async () => {
    await service.create(wish());
    await installRunner('tuneyard-a');
    const { id } = await (await serve('tuneyard-a')).peer.request('runs/start', { recipe: recipe(), name: 'short' });
    await until(async () => expect((await eventsOf('tuneyard-a', id)).at(-1)?.type).toBe('end'));
    await until(() => expect(google.instance('tuneyard-a').status).toBe('TERMINATED'));
    expect(told('tuneyard-a', 'unsafe')).toBe('1');
    await google.clock.advance(11 * 86_400_000);
    const [kept] = await service.list({ refresh: true });
    expect(kept?.problem).toMatch(/results of 1 run.*nowhere else/);
    expect(google.instances()).toHaveLength(1);
  });

  it('switches itself off where Google refuses its deletion', async () => {
    await service.create(wish({ service_account: 'default' }));
    google.project().lacks.add('compute.instances.delete');
    await installRunner('tuneyard-a');
    await until(() => expect(google.instance('tuneyard-a').status).toBe('TERMINATED'));
    expect(told('tuneyard-a', 'reason')).toContain("Required 'compute.instances.delete' permission");
  });

  it('keeps a snapshot of its disk before it goes, where that was chosen, and a single one however often it is tried', async () => {
    await service.create(wish({ service_account: 'default', artifacts: { kind: 'snapshot' } }));
    google.faultNext('instances.delete', 'error503', 3);
    google.faultNext('disks.createSnapshot', 'drop-after', 2);
    const served = await serve('tuneyard-a');
    const { id } = await served.peer.request('runs/start', { recipe: recipe(), name: 'kept' });
    await until(async () => expect((await served.peer.request('runs/get', { run: id })).state).toBe('completed'));
    await installRunner('tuneyard-a');
    await until(() => expect(google.instances()).toEqual([]));
    const [snapshot, ...more] = [...google.world.snapshots.values()];
    expect(more).toEqual([]);
    expect(snapshot?.labels).toMatchObject({ tuneyard: 'vm', 'tuneyard-vm': 'tuneyard-a' });
    expect(snapshot?.sizeGb).toBe(200);
    const model = join('.tuneyard', 'runs', id, 'model', 'model.safetensors');
    expect((await readFile(join(snapshot!.folder, model))).length).toBeGreaterThan(1000);
  });

  it('ends at the time that it was given last', async () => {
    await service.create(wish({ idle_minutes: 0, max_run_seconds: 3600 }));
    await service.extend('tuneyard-a', 7000);
    await installRunner('tuneyard-a');
    await until(() => expect(told('tuneyard-a', 'idle_seconds')).toBeDefined());
    // Watchdogs' clocks run: an hour is over.
    await until(() => expect(Number(told('tuneyard-a', 'idle_seconds'))).toBeGreaterThan(3700));
    expect(google.instance('tuneyard-a').status).toBe('RUNNING');
    await until(() => expect(google.instance('tuneyard-a').status).toBe('TERMINATED'));
    expect(told('tuneyard-a', 'reason')).toContain('its time is up');
  });
});

describe.skipIf(sshdMissing)(`a run on a spot VM that Google takes away (${sshdMissing ?? 'with sshd'})`, () => {
  it('goes on in another zone with the disk of the old VM, of which nothing is left', async () => {
    await service.create(wish({ provisioning_model: 'SPOT' }));
    await installRunner('tuneyard-a');
    const run = await begun('tuneyard-a', 30);
    await until(async () => expect(told('tuneyard-a', 'state')).toBe('busy'));
    await google.preempt('tuneyard-a');
    const before = await stepsOf('tuneyard-a', run);
    expect((await eventsOf('tuneyard-a', run)).at(-1)).toMatchObject({ type: 'end', status: 'stopped' });
    expect(await service.list({ refresh: true })).toMatchObject([{ state: 'TERMINATED', preempted: true }]);

    google.stock('us-central1-b', 'g2-standard-4', 0);
    const made = await service.resumeElsewhere({ vm: 'tuneyard-a' });
    expect(made).toMatchObject({
      name: 'tuneyard-a-2',
      zone: 'us-central1-c',
      state: 'RUNNING',
      provisioning_model: 'SPOT',
    });
    await until(async () => expect((await stepsOf('tuneyard-a-2', run)).length).toBeGreaterThan(before.length + 5));
    const steps = await stepsOf('tuneyard-a-2', run);
    expect(steps).toEqual(steps.map((_, i) => i + 1));

    expect(google.instances().map(({ options }) => options.name)).toEqual(['tuneyard-a-2']);
    expect([...google.world.disks.values()].map(({ name }) => name)).toEqual(['tuneyard-a-2']);
    expect(google.world.snapshots.size).toBe(0);
  });

  it('goes on from the bucket where the old VM is gone with its disk', async () => {
    const artifacts = { kind: 'bucket' as const, bucket: 'results' };
    await service.create(wish({ provisioning_model: 'SPOT', service_account: 'default', artifacts }));
    await installRunner('tuneyard-a');
    const run = await begun('tuneyard-a', 30);
    await until(async () => expect(told('tuneyard-a', 'state')).toBe('busy'));
    await google.preempt('tuneyard-a');
    expect(google.instances()).toEqual([]);
    const sent = google.storage.objects
      .get(`results/tuneyard-a/${run}/events.jsonl`)!
      .toString('utf8')
      .trim()
      .split('\n');
    const reached = (JSON.parse(sent.at(-1)!) as RunEvent).step;
    expect(reached).toBeGreaterThan(30);

    const made = await service.resumeElsewhere({ vm: 'tuneyard-a', zones: ['us-east1-b'] });
    expect(made).toMatchObject({ name: 'tuneyard-a-2', zone: 'us-east1-b' });
    await installRunner('tuneyard-a-2');
    await until(async () => {
      const starts = (await eventsOf('tuneyard-a-2', run)).filter(({ type }) => type === 'start');
      expect(starts.map(({ step }) => step)).toEqual([0, reached]);
    });
    await until(async () => expect((await stepsOf('tuneyard-a-2', run)).at(-1)).toBeGreaterThan(reached + 5));
    expect(await watchdogLog('tuneyard-a-2')).toContain(`brought here: ${run}`);
  });

  it('is not taken elsewhere while its VM runs, nor where nothing of it is left', async () => {
    await service.create(wish());
    await expect(service.resumeElsewhere({ vm: 'tuneyard-a' })).rejects.toMatchObject({ data: { reason: 'running' } });
    await service.delete({ vm: 'tuneyard-a' });
    await expect(service.resumeElsewhere({ vm: 'tuneyard-a' })).rejects.toMatchObject({
      data: { reason: 'nothing_left' },
    });
    await expect(service.resumeElsewhere({ vm: 'other' })).rejects.toMatchObject({ code: 'vm_not_found' });
    expect(google.instances()).toEqual([]);
  });
});
