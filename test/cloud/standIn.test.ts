/** The stand-in itself: what would slip through it would slip through every test that leans on it. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import type { VmSpec } from '@host/cloud/provider';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sshdMissing } from '../support/ssh/sshd';
import { GoogleStandIn } from './standIn/googleStandIn';

const project = 'tune-project';
const zone = 'us-central1-a';
const IMAGE = 'projects/deeplearning-platform-release/global/images/common-cu129-ubuntu-2204-nvidia-580-v20261101';

describe.skipIf(sshdMissing)(`the stand-in for Google${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let google: GoogleStandIn;
  let token: string;
  let provider: ReturnType<typeof gceProvider>;

  beforeAll(async () => {
    google = await GoogleStandIn.start({ speed: 20, operationMs: 200 });
    const env = { GOOGLE_APPLICATION_CREDENTIALS: await google.credentialsFile() };
    provider = gceProvider({
      endpoint: google.endpoint,
      env,
      now: google.clock.now,
      sleep: google.clock.sleep,
      firstPause: 5,
    });
    token = await provider.accessToken();
  });
  afterAll(() => google?.close());

  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${google.endpoint}/compute/v1/projects/${project}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      body: (await response.json()) as { error?: { message: string } } & Record<string, unknown>,
    };
  };
  const sane = (changes: object = {}) => ({
    name: 'vm-1',
    machineType: `zones/${zone}/machineTypes/g2-standard-4`,
    disks: [
      {
        boot: true,
        autoDelete: true,
        initializeParams: { sourceImage: IMAGE, diskSizeGb: '200', diskType: `zones/${zone}/diskTypes/pd-balanced` },
      },
    ],
    networkInterfaces: [{ network: 'global/networks/default', accessConfigs: [{ type: 'ONE_TO_ONE_NAT' }] }],
    scheduling: { onHostMaintenance: 'TERMINATE', automaticRestart: true },
    ...changes,
  });
  const spec = (name: string, changes: Partial<VmSpec> = {}): VmSpec => ({
    project,
    zone,
    name,
    requestId: randomUUID(),
    machineType: 'g2-standard-24',
    provisioningModel: 'STANDARD',
    maxRunSeconds: 3600,
    disk: { sizeGb: 200, type: 'pd-balanced' },
    image: IMAGE,
    labels: { tuneyard: 'vm', 'tuneyard-vm': name },
    metadata: { 'enable-guest-attributes': 'TRUE', 'install-nvidia-driver': 'True' },
    externalAddress: true,
    ...changes,
  });

  it.each([
    ['a field that is not there', { colour: 'red' }, /Unknown name "colour"/],
    ['a field of another type', { canIpForward: 'yes' }, /canIpForward/],
    ['a nested field that is not there', { scheduling: { onHostMaintenence: 'TERMINATE' } }, /onHostMaintenence/],
    ['a word that is none of an enum', { scheduling: { onHostMaintenance: 'STOP' } }, /onHostMaintenance/],
    ['a GPU that is to move while it works', { scheduling: { onHostMaintenance: 'MIGRATE' } }, /live migration/],
    ['a name that is none', { name: 'VM_1' }, /resource\.name/],
    ['a label with capitals', { labels: { owner: 'Ada' } }, /Label value/],
    ['a machine type of another zone', { machineType: 'zones/us-east1-b/machineTypes/g2-standard-4' }, /malformed/],
    [
      'a machine type that the zone lacks',
      { machineType: `zones/${zone}/machineTypes/g9-standard-4` },
      /does not exist in zone/,
    ],
    [
      'a spot VM that restarts by itself',
      { scheduling: { onHostMaintenance: 'TERMINATE', automaticRestart: true, provisioningModel: 'SPOT' } },
      /automatic restart/,
    ],
    [
      'a time limit of seconds',
      {
        scheduling: {
          onHostMaintenance: 'TERMINATE',
          maxRunDuration: { seconds: '5' },
          instanceTerminationAction: 'DELETE',
        },
      },
      /30 seconds/,
    ],
    [
      'loose GPUs on a machine that has its own',
      {
        guestAccelerators: [{ acceleratorType: `zones/${zone}/acceleratorTypes/nvidia-tesla-t4`, acceleratorCount: 1 }],
      },
      /not compatible/,
    ],
  ])('refuses %s', async (_, changes, message) => {
    const { status, body } = await call('POST', `zones/${zone}/instances?requestId=${randomUUID()}`, sane(changes));
    expect(body.error?.message).toMatch(message);
    expect(status).toBe(400);
    expect(google.instances()).toEqual([]);
  });

  it('refuses a parameter that is not there, a filter that nobody understands, and whoever has no token', async () => {
    expect((await call('GET', `zones/${zone}/instances?colour=red`)).body.error?.message).toMatch(/colour/);
    expect((await call('GET', 'aggregated/instances?filter=what%20is%20this')).body.error?.message).toMatch(/filter/);
    expect((await fetch(`${google.endpoint}/compute/v1/projects/${project}`)).status).toBe(401);
  });

  it('makes one VM of a request that comes twice, and two of two', async () => {
    const path = `zones/${zone}/instances?requestId=${randomUUID()}`;
    const [first, second] = [
      await call('POST', path, sane({ name: 'twice' })),
      await call('POST', path, sane({ name: 'twice' })),
    ];
    expect(second.body.name).toBe(first.body.name);
    const third = await call('POST', `zones/${zone}/instances?requestId=${randomUUID()}`, sane({ name: 'twice' }));
    expect(third.status).toBe(409);
    await google.world.operations.settled();
    expect(google.instances()).toHaveLength(1);
    await provider.delete({ project, zone, name: 'twice' }, randomUUID());
  });

  it('lets a VM be reached by its key when its driver is there, and forgets it at its time', async () => {
    const vm = await provider.insert(spec('boots'));
    expect(vm).toMatchObject({ state: 'RUNNING', externalAddress: expect.stringMatching(/^127\./) });
    await google.clock.advance(5000);
    const hostKey = async () => (await provider.guestAttributes(vm, 'hostkeys/'))['ssh-ed25519'];
    await expect.poll(hostKey).toMatch(/^AAAA/);
    expect((await provider.serialOutput(vm, 0)).text).toContain(await hostKey());
    await expect
      .poll(() => readFile(`${google.instance('boots').guest.home}/../bin/nvidia-smi`, 'utf8'))
      .toContain('NVIDIA L4');
    await google.clock.advance(3_600_000);
    await expect.poll(() => provider.get(vm)).toBeUndefined();
    expect(await provider.leftovers(project, 'boots')).toEqual({ disks: [], addresses: [] });
    // An hour of two L4 in Iowa, its disk and its address.
    expect(google.bill('boots') / 1e6).toBeCloseTo(2.0 + 0.03, 1);
  });

  it('has no more VMs than its stock, and says so as Google does', async () => {
    google.stock('us-east1-b', 'g2-standard-4', 0);
    const refused = provider.insert(spec('none', { zone: 'us-east1-b', machineType: 'g2-standard-4' }));
    await expect(refused).rejects.toMatchObject({ code: 'cloud_stockout' });
    google.quota('NVIDIA_L4_GPUS', 0, 'us-east1');
    const over = provider.insert(spec('none', { zone: 'us-east1-b', machineType: 'g2-standard-8' }));
    await expect(over).rejects.toMatchObject({ code: 'cloud_quota', data: { metric: 'NVIDIA_L4_GPUS' } });
    expect(google.instances()).toEqual([]);
    expect(google.world.disks.size).toBe(0);
  });

  it('does what a lost request asked for, once', async () => {
    google.faultNext('instances.insert', 'drop-after');
    google.faultNext('zoneOperations.wait', 'drop-before', 2);
    const vm = await provider.insert(spec('lost'));
    expect(google.instances().map(({ options }) => options.name)).toEqual(['lost']);
    await provider.delete(vm, randomUUID());
    expect(google.instances()).toEqual([]);
  });
});
