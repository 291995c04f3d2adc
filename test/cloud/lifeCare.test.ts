/** What a VM is spared, and what its owner is: strangers, impostors, refusals halfway, and two programs at once. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { CloudService } from '@host/cloud/cloudService';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import type { CloudProvider } from '@host/cloud/provider';
import type { CreateVm, VmStage } from '@protocol/cloud';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sshdMissing } from '../support/ssh/sshd';
import { GoogleStandIn } from './standIn/googleStandIn';

const HOUR = 3_600_000;
const project = 'tune-project';

describe.skipIf(sshdMissing)(`a VM among others${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let google: GoogleStandIn;
  let home: string;
  let provider: CloudProvider;
  const services: CloudService[] = [];

  beforeEach(async () => {
    google = await GoogleStandIn.start({ speed: 30, projects: [project, 'second-project'] });
    home = await mkdtemp(join(tmpdir(), 'tuneyard-care-'));
    const { now, sleep } = google.clock;
    const credentialsFile = await google.credentialsFile();
    provider = gceProvider({ endpoint: google.endpoint, credentialsFile, now, sleep, firstPause: 5 });
  });
  afterEach(async () => {
    for (const service of services.splice(0)) service.dispose();
    await google.close();
    await rm(home, { recursive: true, force: true });
  });

  /** Another program beside those that there are: the record is all that they share. */
  function another(): CloudService {
    const { now, sleep } = google.clock;
    const { username: user } = userInfo();
    const service = new CloudService({ provider, home, version: '0.1.0', user, sshPort: google.sshPort, now, sleep });
    services.push(service);
    return service;
  }
  const wish = (changes: Partial<CreateVm> = {}): CreateVm => ({
    project,
    name: 'tune-1',
    machine_type: 'g2-standard-4',
    zones: ['us-central1-a'],
    provisioning_model: 'STANDARD',
    ...changes,
  });
  const reaches = (service: CloudService, wanted: VmStage) =>
    new Promise<void>((resolve) => service.onDidProgress(({ stage }) => stage === wanted && resolve()));
  const asked = (name: string) => google.requests.filter((request) => request.name === name);

  /** Somebody's VM that has nothing to do with this program. */
  async function stranger(name: string): Promise<void> {
    await provider.insert({
      project,
      zone: 'us-central1-a',
      name,
      requestId: randomUUID(),
      machineType: 'e2-micro',
      provisioningModel: 'STANDARD',
      maxRunSeconds: 3600,
      disk: { sizeGb: 50, type: 'pd-balanced' },
      image: await provider.image('deeplearning-platform-release', 'common-cu129-ubuntu-2204-nvidia-580'),
      labels: { team: 'them' },
      metadata: {},
      externalAddress: true,
    });
  }

  it('is deleted by another program while this one still makes it', async () => {
    const maker = another();
    const booting = reaches(maker, 'booting');
    const making = expect(maker.create(wish())).rejects.toMatchObject({ code: 'cancelled' });
    await booting;
    const done = await another().delete({ vm: 'tune-1' });
    await making;
    expect(done.verified).toHaveLength(3);
    expect(google.instances()).toEqual([]);
    expect(asked('instances.insert')).toHaveLength(1);
  });

  it('is left alone where its name is that of a stranger, and so is the stranger', async () => {
    await stranger('tune-1');
    const service = another();
    await expect(service.create(wish())).rejects.toMatchObject({ data: { reason: 'exists' } });
    await expect(service.delete({ vm: 'tune-1', project, zone: 'us-central1-a' })).rejects.toMatchObject({
      code: 'vm_not_found',
    });
    expect((await service.reconcile([project])).unknown).toEqual([]);
    expect(google.instances()).toHaveLength(1);
    expect(asked('instances.delete')).toEqual([]);
  });

  it('is not taken for a later one of its name that somebody else has made', async () => {
    const service = another();
    await service.create(wish());
    await provider.delete({ project, zone: 'us-central1-a', name: 'tune-1' }, randomUUID());
    await stranger('tune-1');
    await service.delete({ vm: 'tune-1' });
    expect(google.instances()).toHaveLength(1);
    expect(google.instances()[0]?.options.machineType).toBe('e2-micro');
  });

  it('is not connected to where its key is not the one that Google tells, and does not stay to cost', async () => {
    const service = another();
    const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIGg1T4kXkYkT9qmV5Tn3d6m0XlqQ0dJm1q3o5kqvZ0aB';
    google.onRequest(({ name }) => {
      if (name !== 'instances.getGuestAttributes') return;
      google.instance('tune-1').guest.attributes.set('hostkeys/ssh-ed25519', blob);
    });
    await expect(service.create(wish())).rejects.toMatchObject({ code: 'host_key_changed' });
    expect(google.instances()).toEqual([]);
  });

  it('is told of as left where it may not be deleted, and gone on with once it may', async () => {
    const service = another();
    const cancel = new AbortController();
    service.onDidProgress(({ stage }) => stage === 'connecting' && cancel.abort());
    google.project().lacks.add('compute.instances.delete');
    await expect(service.create(wish(), { signal: cancel.signal })).rejects.toMatchObject({
      code: 'cancelled',
      data: { left: true },
    });
    expect(await service.list({ refresh: false })).toMatchObject([{ name: 'tune-1', state: 'DELETING' }]);
    expect((await service.list({ refresh: false }))[0]?.problem).toMatch(
      /compute\.instances\.delete|not allowed|perm/i,
    );

    google.project().lacks.clear();
    await another().recover();
    expect(google.instances()).toEqual([]);
    expect(await service.list({ refresh: false })).toEqual([]);
    expect((await service.history())[0]).toMatchObject({ state: 'FAILED' });
  });

  it('is not asked for where a quota is zero, and the page to raise it is named', async () => {
    google.quota('GPUS_ALL_REGIONS', 0);
    await expect(another().create(wish())).rejects.toMatchObject({
      code: 'cloud_quota',
      message: expect.stringMatching(/GPUS_ALL_REGIONS.*https:\/\//),
    });
    expect(asked('instances.insert')).toHaveLength(0);
  });

  it('leaves its disk in a snapshot where that was chosen, and no disk that costs', async () => {
    const service = another();
    await service.create(wish({ artifacts: { kind: 'snapshot' } }));
    const { kept } = await service.delete({ vm: 'tune-1' });
    expect(kept).toHaveLength(1);
    const [snapshot] = [...google.world.snapshots.values()];
    expect(kept[0]).toContain(snapshot?.name);
    expect(snapshot?.labels).toMatchObject({ tuneyard: 'vm', 'tuneyard-vm': 'tune-1' });
    expect(google.world.disks.size).toBe(0);
  });

  it('takes a disk along that was left beside it', async () => {
    const service = another();
    await service.create(wish());
    const [own] = [...google.world.disks.values()];
    const left = { ...own!, name: 'tune-1-scratch', user: undefined } as typeof own & object;
    google.world.disks.set(`${project}/us-central1-a/tune-1-scratch`, left);
    await service.delete({ vm: 'tune-1' });
    expect(google.world.disks.size).toBe(0);
  });

  it('stays past its time where a person has stopped it, and goes where it has switched itself off', async () => {
    const service = another();
    await service.create(wish({ name: 'parked', max_run_seconds: 3600 }));
    await service.create(wish({ name: 'ended', max_run_seconds: 3600 }));
    await service.stop('parked');
    await google.world.stop(google.instance('ended'), 'compute.instances.guestTerminate');
    const before = await service.list({ refresh: true });
    expect(before.find(({ name }) => name === 'parked')).not.toHaveProperty('delete_at');
    await google.clock.advance(3 * HOUR);
    expect((await service.list({ refresh: true })).map(({ name }) => name)).toEqual(['parked']);
    expect(google.instances().map(({ options }) => options.name)).toEqual(['parked']);
    await service.start('parked');
    expect((await service.list({ refresh: true }))[0]).toMatchObject({ state: 'RUNNING' });
  });

  it('is one of several, in several projects, each with its own cost', async () => {
    const service = another();
    await Promise.all([service.create(wish()), service.create(wish({ name: 'tune-2', project: 'second-project' }))]);
    await google.clock.advance(HOUR);
    const views = await service.list({ refresh: true });
    expect(views.map(({ name }) => name).sort()).toEqual(['tune-1', 'tune-2']);
    for (const { name, cost } of views) expect(Math.round(cost!.usd * 100)).toBe(Math.round(google.bill(name) / 1e4));
    const { known, unknown, failed } = await another().reconcile();
    expect([known.length, unknown, failed]).toEqual([2, [], []]);
    await expect(service.create(wish({ project: 'second-project' }))).rejects.toMatchObject({ code: 'usage' });
  });

  it('has no secret in its record, and none in what it is given', async () => {
    const service = another();
    await service.create(wish());
    const token = asked('token').length;
    expect(token).toBeGreaterThan(0);
    const record = await readFile(join(home, 'vms/tune-1.json'), 'utf8');
    const given = JSON.stringify(asked('instances.insert')[0]?.body);
    for (const text of [record, given]) expect(text).not.toMatch(/PRIVATE KEY|ya29\.|refresh_token|client_secret/);
    expect((await readdir(join(home, 'vms'))).sort()).toEqual(['history', 'locks', 'tune-1', 'tune-1.json']);
  });
});
