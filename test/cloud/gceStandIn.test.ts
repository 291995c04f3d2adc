/** The provider against a cloud that checks every field, has real machines, loses answers, and writes a bill. */
import { randomUUID } from 'node:crypto';
import { costSoFar, type Rates, ratesOf } from '@host/cloud/cost';
import { type GceProvider, gceProvider } from '@host/cloud/gce/gceProvider';
import type { VmSpec } from '@host/cloud/provider';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sshdMissing } from '../support/ssh/sshd';
import { type FaultKind, GoogleStandIn } from './standIn/googleStandIn';

const PROJECT = 'tune-project';
const ZONE = 'us-central1-a';

/** Its VMs have real servers. */
const why = sshdMissing ? ` (${sshdMissing})` : '';

let google: GoogleStandIn;
let gce: GceProvider;
let image: string;

beforeAll(async () => {
  google = await GoogleStandIn.start({ operationMs: 20, bootMs: 20, driverMs: 20 });
  gce = gceProvider({
    endpoint: google.endpoint,
    credentialsFile: await google.credentialsFile(),
    env: {},
    firstPause: 5,
    now: () => google.clock.now(),
    sleep: async () => {},
  });
  image = await gce.image('deeplearning-platform-release', 'common-cu129-ubuntu-2204-nvidia-580');
});
afterAll(() => google?.[Symbol.asyncDispose]());

const undo: (() => void)[] = [];
afterEach(() => {
  for (const end of undo.splice(0)) end();
});
const fault = (name: string, kind: FaultKind, times = 1) => undo.push(google.faultNext(name, kind, times));

let made = 0;
function spec(more: Partial<VmSpec> = {}): VmSpec {
  const name = more.name ?? `vm-${++made}`;
  return {
    ...{ project: PROJECT, zone: ZONE, name, requestId: randomUUID(), machineType: 'g2-standard-24' },
    ...{ provisioningModel: 'STANDARD', maxRunSeconds: 43_200, disk: { sizeGb: 200, type: 'pd-balanced' }, image },
    labels: { tuneyard: 'vm', 'tuneyard-vm': name, 'tuneyard-owner': 'ada' },
    metadata: { 'enable-guest-attributes': 'TRUE', 'ssh-keys': 'ada:ssh-ed25519 AAAA' },
    externalAddress: true,
    ...more,
  };
}
const place = ({ project, zone, name }: VmSpec) => ({ project, zone, name });
const there = () => google.instances().map(({ options }) => options.name);
const ours = async () => (await gce.list(PROJECT, { tuneyard: 'vm' })).map(({ name }) => name);

describe.skipIf(sshdMissing)(`a VM${why}`, () => {
  it('is made as it was asked for, changed, stopped, started, deleted, and gone; its cost is the bill', async () => {
    const asked = spec({ labels: { tuneyard: 'vm', 'tuneyard-vm': 'whole', 'tuneyard-owner': 'ada' }, name: 'whole' });
    const vm = await gce.insert(asked);
    expect(vm).toMatchObject({ name: 'whole', machineType: 'g2-standard-24', labels: asked.labels, preempted: false });
    expect(vm.externalAddress).toMatch(/^127\./);
    expect(vm.disks).toEqual([{ name: 'whole', sizeGb: 200, autoDelete: true }]);
    expect(await ours()).toEqual(['whole']);

    await gce.setMetadata(place(asked), { 'tuneyard-delete-at': '2026-03-01T00:00:00Z', 'ssh-keys': undefined });
    const time = new Date(google.clock.now() + 7200_000).toISOString();
    await expect(gce.setTerminationTime(place(asked), time)).rejects.toMatchObject({ data: { reason: 'running' } });

    await google.clock.advance(3600_000);
    expect((await gce.stop(place(asked), randomUUID())).state).toBe('TERMINATED');
    await google.clock.advance(600_000);
    await gce.setTerminationTime(place(asked), new Date(google.clock.now() + 7200_000).toISOString());
    const started = await gce.start(place(asked), randomUUID());
    const runs = Date.parse(started.terminationTime ?? '') - Date.parse(started.lastStart ?? '');
    expect(Math.round(runs / 60_000)).toBe(120);

    await google.clock.advance(1800_000);
    const disk = started.disks[0]!;
    await gce.delete(place(asked), randomUUID());
    expect(await gce.get(place(asked))).toBeUndefined();
    expect(await ours()).toEqual([]);
    expect(await gce.leftovers(PROJECT, 'whole')).toEqual({ disks: [], addresses: [] });

    const machine = google.instance('whole');
    const deletedAt = Date.parse((await gce.deletedAt(place(asked), vm.id)) ?? '');
    const rates = ratesOf({
      ...{ machine_type: 'g2-standard-24', provisioning_model: 'STANDARD', region: 'us-central1' },
      disk_type: 'pd-balanced',
    }) as Rates;
    const first = { from: Date.parse(vm.lastStart!), to: Date.parse(started.lastStop!) };
    const cost = costSoFar(
      {
        ...{ rates, disk_gb: disk.sizeGb, external_address: true },
        ran: [first, { from: Date.parse(started.lastStart!), to: deletedAt }],
        ...{ disk_from: Date.parse(vm.created), disk_to: deletedAt },
      },
      google.clock.now() + 9e9,
    );
    expect((cost.micro_usd / 1e4).toFixed(0)).toBe((machine.bill() / 1e4).toFixed(0));
    expect(cost.micro_usd).toBeGreaterThan(3_000_000);
  });

  it.each<[string, FaultKind, number]>([
    ['the answer is lost', 'drop-after', 3],
    ['the request is lost', 'drop-before', 3],
    ['it arrives twice', 'duplicate', 1],
    ['Google is overloaded', 'error503', 3],
    ['there are too many requests', 'error429', 3],
  ])('is one VM, and is deleted once, where %s', async (_, kind, times) => {
    const asked = spec();
    fault('instances.insert', kind, times);
    fault('zoneOperations.wait', kind, times);
    await gce.insert(asked);
    expect(there()).toEqual([asked.name]);
    fault('instances.delete', kind, times);
    fault('zoneOperations.wait', kind, times);
    await gce.delete(place(asked), randomUUID());
    expect(there()).toEqual([]);
  });

  it('of another request with the same name is refused, and the first is left alone', async () => {
    const asked = spec();
    const { id } = await gce.insert(asked);
    await expect(gce.insert({ ...asked, requestId: randomUUID() })).rejects.toMatchObject({
      data: { reason: 'exists' },
    });
    expect((await gce.insert(asked)).id).toBe(id);
    await gce.delete(place(asked), randomUUID());
    await expect(gce.delete(place(asked), randomUUID())).rejects.toMatchObject({ code: 'vm_not_found' });
  });

  it('that Google takes back is known to be preempted', async () => {
    const asked = spec({ provisioningModel: 'SPOT', terminationAction: 'STOP' });
    await gce.insert(asked);
    await google.preempt(asked.name);
    await expect
      .poll(() => gce.get(place(asked)), { timeout: 20_000 })
      .toMatchObject({ state: 'TERMINATED', preempted: true });
    await gce.delete(place(asked), randomUUID());
  });

  it('shows its host keys as guest attributes and on its serial port', async () => {
    const asked = spec();
    await gce.insert(asked);
    const keys = () => gce.guestAttributes(place(asked), 'hostkeys/');
    await expect.poll(keys, { timeout: 20_000 }).toMatchObject({ 'ssh-ed25519': expect.stringMatching(/^AAAA/) });
    const { text, next } = await gce.serialOutput(place(asked), 0);
    expect(text).toContain('SSH HOST KEY');
    expect((await gce.serialOutput(place(asked), next)).text).not.toContain('BEGIN SSH HOST KEY');
    await gce.delete(place(asked), randomUUID());
  });

  it('leaves a snapshot that another is made of, and that is deleted', async () => {
    const asked = spec();
    const vm = await gce.insert(asked);
    const disk = { ...place(asked), name: vm.disks[0]!.name };
    await gce.snapshot(disk, 'kept', { tuneyard: 'vm' }, randomUUID());
    await gce.delete(place(asked), randomUUID());
    const again = spec({ sourceSnapshot: 'kept' });
    await gce.insert(again);
    await gce.delete(place(again), randomUUID());
    await gce.deleteSnapshot(PROJECT, 'kept', randomUUID());
    await gce.deleteSnapshot(PROJECT, 'kept', randomUUID());
  });
});

describe.skipIf(sshdMissing)(`a VM that cannot be had${why}`, () => {
  it.each<[string, Partial<VmSpec>, object]>([
    ['for its disk', { disk: { sizeGb: 200, type: 'pd-standard' } }, { data: { reason: 'disk_type' } }],
    [
      'for its image',
      { image: 'projects/deeplearning-platform-release/global/images/gone' },
      { data: { reason: 'image' } },
    ],
    ['for its machine type', { machineType: 'g2-standard-5' }, { data: { reason: 'machine_type' } }],
    ['for its name', { name: 'Not_A_Name' }, { code: 'cloud_invalid' }],
  ])('%s says so and leaves nothing', async (_, more, error) => {
    const { data, ...rest } = error as { data?: object };
    const expected = { ...rest, ...(data ? { data: expect.objectContaining(data) } : {}) };
    await expect(gce.insert(spec(more))).rejects.toMatchObject(expected);
    expect(there()).toEqual([]);
  });

  it('as the zone has none left, or the quota allows none', async () => {
    google.stock(ZONE, 'g2-standard-24', 0);
    await expect(gce.insert(spec())).rejects.toMatchObject({ code: 'cloud_stockout', data: { zone: ZONE } });
    google.stock(ZONE, 'g2-standard-24', 100);
    google.quota('GPUS_ALL_REGIONS', 0);
    await expect(gce.insert(spec())).rejects.toMatchObject({
      code: 'cloud_quota',
      data: { metric: 'GPUS_ALL_REGIONS', limit: 0 },
    });
    const all = await gce.offers({ project: PROJECT });
    expect(all.every(({ quota }) => quota?.metric === 'GPUS_ALL_REGIONS')).toBe(true);
    google.quota('GPUS_ALL_REGIONS', 16);
    expect(there()).toEqual([]);
  });

  it('without a permission, the API or billing, each in its own words', async () => {
    const project = google.project();
    project.lacks.add('compute.instances.create');
    await expect(gce.insert(spec())).rejects.toMatchObject({
      code: 'cloud_permission',
      data: { permission: 'compute.instances.create' },
    });
    project.lacks.clear();
    project.hasApi = false;
    await expect(gce.insert(spec())).rejects.toMatchObject({
      code: 'cloud_permission',
      data: { reason: 'api_disabled' },
    });
    project.hasApi = true;
    project.hasBilling = false;
    await expect(gce.insert(spec())).rejects.toMatchObject({ code: 'cloud_billing' });
    project.hasBilling = true;
    await expect(gce.project('no-such-project')).rejects.toMatchObject({
      code: expect.stringMatching(/cloud_(invalid|permission)/),
    });
  });
});

describe.skipIf(sshdMissing)(`what is offered${why}`, () => {
  it('can be had: the best of it is made', async () => {
    const [best] = await gce.offers({ project: PROJECT, gpu_memory_bytes: 30 * 2 ** 30, regions: ['us-central1'] });
    expect(best).toMatchObject({ fits: true, price: { as_of: '2025-03-06' } });
    expect(best!.quota).toBeUndefined();
    const { machine_type: machineType, provisioning_model: provisioningModel, zones } = best!;
    const asked = spec({ machineType, provisioningModel, zone: zones[0]! });
    await gce.insert(asked);
    await gce.delete(place(asked), randomUUID());
  });
});
