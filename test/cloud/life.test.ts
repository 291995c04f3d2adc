/** The life of VMs on a clock that is moved on: their end, their cost, and what others do to them meanwhile. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { CloudService } from '@host/cloud/cloudService';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import type { CreateVm } from '@protocol/cloud';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sshdMissing } from '../support/ssh/sshd';
import { GoogleStandIn } from './standIn/googleStandIn';

const HOUR = 3_600_000;
const project = 'tune-project';

describe.skipIf(sshdMissing)(`the life of a VM${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let google: GoogleStandIn;
  let homes: string[];
  let services: CloudService[];

  beforeEach(async () => {
    google = await GoogleStandIn.start({ speed: 30 });
    homes = [];
    services = [];
  });
  afterEach(async () => {
    for (const service of services) service.dispose();
    await google.close();
    for (const home of homes) await rm(home, { recursive: true, force: true });
  });

  /** As a process of its own has it: it knows nothing but the record. */
  async function serviceOf(home?: string): Promise<CloudService> {
    const { now, sleep } = google.clock;
    const folder = home ?? (await mkdtemp(join(tmpdir(), 'tuneyard-life-')));
    if (home === undefined) homes.push(folder);
    const provider = gceProvider({
      endpoint: google.endpoint,
      credentialsFile: await google.credentialsFile(),
      now,
      sleep,
      firstPause: 5,
    });
    const { username: user } = userInfo();
    const service = new CloudService({
      provider,
      home: folder,
      version: '0.1.0',
      user,
      sshPort: google.sshPort,
      now,
      sleep,
    });
    services.push(service);
    return service;
  }
  const wish = (changes: Partial<CreateVm> = {}): CreateVm => ({
    project,
    name: 'tune-1',
    machine_type: 'g2-standard-24',
    zones: ['us-central1-a', 'us-central1-b'],
    provisioning_model: 'STANDARD',
    ...changes,
  });
  const cents = (usd: number | undefined) => Math.round((usd ?? Number.NaN) * 100);
  const bill = () => Math.round(google.bill('tune-1') / 1e4);

  it('carries what keeps it safe from its first second', async () => {
    await (await serviceOf()).create(wish({ max_run_seconds: 3600 }));
    const insert = google.requests.find(({ name }) => name === 'instances.insert')!;
    const body = insert.body as Record<string, never> & { metadata: { items: { key: string; value: string }[] } };
    expect(insert.query.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(body).toMatchObject({
      labels: {
        tuneyard: 'vm',
        'tuneyard-owner': 'person-example-com',
        'tuneyard-vm': 'tune-1',
        'tuneyard-version': '0-1-0',
      },
      scheduling: {
        onHostMaintenance: 'TERMINATE',
        instanceTerminationAction: 'DELETE',
        maxRunDuration: { seconds: '7200' },
      },
      disks: [{ autoDelete: true, initializeParams: { diskSizeGb: '200' } }],
    });
    expect(body).not.toHaveProperty('serviceAccounts');
    const items = Object.fromEntries(body.metadata.items.map(({ key, value }) => [key, value]));
    expect(items['ssh-keys']).toMatch(/^\S+:ssh-ed25519 .*"expireOn"/);
    expect(items).toMatchObject({ 'install-nvidia-driver': 'True', 'enable-guest-attributes': 'TRUE' });
    expect(items['startup-script']).toMatch(/^#!\/bin\/sh/);
  });

  it('ends at its time though nobody looks, and is told of with what it has cost', async () => {
    const service = await serviceOf();
    await service.create(wish({ max_run_seconds: 3600 }));
    await google.clock.advance(HOUR / 2);
    const [running] = await service.list({ refresh: true });
    expect(cents(running?.cost?.usd)).toBe(bill());
    await google.clock.advance(2 * HOUR);
    expect(google.instances()).toEqual([]);
    expect(await service.list({ refresh: true })).toEqual([]);
    const [ended] = await service.history();
    expect(ended).toMatchObject({ name: 'tune-1', state: 'DELETED' });
    expect(cents(ended?.cost?.usd)).toBe(bill());
    expect(google.world.disks.size).toBe(0);
  });

  it('lives longer where that is asked for, and is stopped for it only where somebody says so', async () => {
    const service = await serviceOf();
    await service.create(wish({ max_run_seconds: 3600 }));
    const extended = await service.extend('tune-1', 6000);
    expect(Date.parse(extended.delete_at!) - google.clock.now()).toBeGreaterThan(5900_000);
    expect(google.requests.filter(({ name }) => name === 'instances.stop')).toEqual([]);
    await expect(service.extend('tune-1', 30 * 3600)).rejects.toMatchObject({
      code: 'cloud_invalid',
      data: { reason: 'running' },
    });
    await service.extend('tune-1', 30 * 3600, { restart: true });
    await google.clock.advance(20 * HOUR);
    expect(google.instance('tune-1').status).toBe('RUNNING');
    expect(cents((await service.list({ refresh: true }))[0]?.cost?.usd)).toBe(bill());
  });

  it('costs its disk alone while it is stopped, and is reached at its new address after', async () => {
    const service = await serviceOf();
    await service.create(wish());
    const before = await service.ssh('tune-1');
    await service.stop('tune-1');
    await google.clock.advance(10 * HOUR);
    const [stopped] = await service.list({ refresh: true });
    expect(stopped?.state).toBe('TERMINATED');
    expect(cents(stopped?.cost?.usd)).toBe(bill());
    await service.start('tune-1');
    const after = await service.ssh('tune-1');
    expect(after.hostName).not.toBe(before.hostName);
    const done = await service.delete({ vm: 'tune-1' });
    expect(cents(done.cost?.usd)).toBe(bill());
  });

  it('goes through the zones until one has it, and leaves nothing where none has', async () => {
    const service = await serviceOf();
    google.stock('us-central1-a', 'g2-standard-24', 0);
    google.stock('us-central1-b', 'g2-standard-24', 0);
    const texts: string[] = [];
    service.onDidProgress(({ text }) => texts.push(text));
    await expect(service.create(wish())).rejects.toMatchObject({ code: 'cloud_stockout' });
    expect(texts.join('\n')).toMatch(/us-central1-a.*Trying us-central1-b/s);
    expect(google.instances()).toEqual([]);
    expect(await service.list({ refresh: false })).toEqual([]);
  });

  it('is deleted when its making is cancelled', async () => {
    const service = await serviceOf();
    const cancel = new AbortController();
    service.onDidProgress(({ stage }) => stage === 'connecting' && cancel.abort());
    await expect(service.create(wish(), { signal: cancel.signal })).rejects.toThrow();
    expect(google.instances()).toEqual([]);
    expect(google.world.disks.size).toBe(0);
    expect(await service.list({ refresh: false })).toEqual([]);
  });

  it('is found by whoever has not made it, and deleted only by its name', async () => {
    await (await serviceOf()).create(wish());
    const other = await serviceOf();
    const { unknown } = await other.reconcile([project]);
    expect(unknown).toMatchObject([{ name: 'tune-1', known: false, owner: 'person-example-com' }]);
    expect(google.instances()).toHaveLength(1);
    const done = await other.delete({ vm: 'tune-1', project, zone: 'us-central1-a' });
    expect(done.verified).toHaveLength(3);
    expect(google.instances()).toEqual([]);
  });

  it('counts as gone where somebody else has deleted it', async () => {
    const service = await serviceOf();
    await service.create(wish());
    await (await serviceOf()).delete({ vm: 'tune-1', project });
    const { gone } = await service.reconcile([project]);
    expect(gone).toMatchObject([{ name: 'tune-1' }]);
    expect(cents(gone[0]?.cost?.usd)).toBe(bill());
  });

  it('takes its key along', async () => {
    const service = await serviceOf();
    await service.create(wish());
    const { identityFile, knownHostsFile } = await service.ssh('tune-1');
    await service.delete({ vm: 'tune-1' });
    const left = await readdir(join(homes[0]!, 'vms'), { recursive: true });
    for (const file of [identityFile, knownHostsFile])
      expect(left.some((name) => file.endsWith(`/${name}`))).toBe(false);
  });
});
