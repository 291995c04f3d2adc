/** A VM as Google tells of it and as it is shown: its money and its end hang on every field. */
import { type GceProvider, gceProvider } from '@host/cloud/gce/gceProvider';
import type { VmSpec } from '@host/cloud/provider';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, type Answers, type Asked, answers, refusal } from './gceAnswers';

const PLACE = { project: 'p', zone: 'us-central1-a', name: 'vm' };
const AT = 'p/zones/us-central1-a';
const HOST = 'https://www.googleapis.com/compute/v1/projects';
const UUID = '7d9d2b5e-39f5-4b26-b1a4-6d8c8a4f2a10';
const NOW = Date.parse('2026-03-01T12:00:00Z');

const VM = {
  id: '5150838294710563187',
  name: 'vm',
  status: 'RUNNING',
  zone: `${HOST}/${AT}`,
  machineType: `${HOST}/${AT}/machineTypes/g2-standard-24`,
  labels: { tuneyard: 'vm', 'tuneyard-owner': 'ada' },
  creationTimestamp: '2026-03-01T02:00:00.000-08:00',
  lastStartTimestamp: '2026-03-01T02:00:09.500-08:00',
  scheduling: { provisioningModel: 'STANDARD', automaticRestart: true, maxRunDuration: { seconds: '43200' } },
  resourceStatus: { scheduling: { terminationTimestamp: '2026-03-01T14:00:09.500-08:00' } },
  networkInterfaces: [{ networkIP: '10.128.0.2', accessConfigs: [{ natIP: '34.1.2.3' }] }],
  disks: [{ source: `${HOST}/${AT}/disks/vm`, diskSizeGb: '200', autoDelete: true }],
};

const SPEC: VmSpec = {
  ...PLACE,
  requestId: UUID,
  machineType: 'g2-standard-24',
  provisioningModel: 'STANDARD',
  maxRunSeconds: 43_200,
  disk: { sizeGb: 200, type: 'pd-balanced' },
  image: 'projects/deeplearning-platform-release/global/images/common-cu129',
  labels: { tuneyard: 'vm' },
  metadata: { 'install-nvidia-driver': 'True' },
  externalAddress: true,
};

let google: Answers | undefined;
afterEach(() => google?.close());

/** Operations are done at once. */
async function provider(answer: (asked: Asked) => Answer): Promise<GceProvider> {
  google = await answers((asked) => {
    const changes = asked.method !== 'GET' && !asked.path.includes('/aggregated/');
    return answer(asked) ?? (changes ? { body: { name: 'op', status: 'DONE' } } : { body: VM });
  });
  const options = { endpoint: google.endpoint, credentialsFile: google.keyFile, env: {}, firstPause: 1 };
  return gceProvider({ ...options, now: () => NOW, sleep: async () => {} });
}

const changes = () => google!.asked.filter(({ method }) => method !== 'GET');
const sent = () => JSON.parse(changes()[0]!.body);
const always = (body: object) => () => ({ body });

describe('a VM is asked for', () => {
  it('with all that keeps it safe from its first second', async () => {
    const gce = await provider(() => undefined);
    await gce.insert(SPEC);
    expect(changes()[0]).toMatchObject({ method: 'POST', path: `${AT}/instances` });
    expect(changes()[0]!.query.get('requestId')).toBe(UUID);
    expect(sent()).toMatchObject({
      name: 'vm',
      machineType: 'zones/us-central1-a/machineTypes/g2-standard-24',
      labels: { tuneyard: 'vm' },
      scheduling: {
        automaticRestart: true,
        instanceTerminationAction: 'DELETE',
        maxRunDuration: { seconds: '43200' },
        onHostMaintenance: 'TERMINATE',
        provisioningModel: 'STANDARD',
      },
      disks: [
        {
          autoDelete: true,
          boot: true,
          initializeParams: {
            diskSizeGb: '200',
            diskType: 'zones/us-central1-a/diskTypes/pd-balanced',
            labels: { tuneyard: 'vm' },
            sourceImage: SPEC.image,
          },
        },
      ],
      networkInterfaces: [
        { network: 'global/networks/default', accessConfigs: [{ name: 'External NAT', type: 'ONE_TO_ONE_NAT' }] },
      ],
      metadata: { items: [{ key: 'install-nvidia-driver', value: 'True' }] },
    });
    // Neither rights nor GPUs that were not chosen.
    expect(sent()).not.toHaveProperty('serviceAccounts');
    expect(sent()).not.toHaveProperty('guestAccelerators');
  });

  it('on the spot without a restart, from a snapshot, without an address, in a chosen network', async () => {
    const gce = await provider(() => undefined);
    await gce.insert({
      ...SPEC,
      ...{ provisioningModel: 'SPOT', terminationAction: 'STOP', sourceSnapshot: 'last', externalAddress: false },
      ...{ subnetwork: 'lab', machineType: 'n1-standard-8', accelerator: { type: 'nvidia-tesla-t4', count: 1 } },
      serviceAccount: { email: 'robot@p.iam.gserviceaccount.com', scopes: ['https://www.googleapis.com/auth/compute'] },
    });
    const { scheduling, disks, networkInterfaces, guestAccelerators, serviceAccounts } = sent();
    expect(scheduling).toMatchObject({
      ...{ provisioningModel: 'SPOT', automaticRestart: false, instanceTerminationAction: 'STOP' },
    });
    expect(disks[0].initializeParams).toMatchObject({ sourceSnapshot: 'global/snapshots/last' });
    expect(disks[0].initializeParams).not.toHaveProperty('sourceImage');
    expect(networkInterfaces).toEqual([{ subnetwork: 'regions/us-central1/subnetworks/lab' }]);
    expect(guestAccelerators).toEqual([
      { acceleratorCount: 1, acceleratorType: 'zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4' },
    ]);
    expect(serviceAccounts[0].email).toBe('robot@p.iam.gserviceaccount.com');
  });

  it('of the newest image of its family', async () => {
    const gce = await provider(always({ name: 'common-cu129-v20260301' }));
    const image = await gce.image('deeplearning-platform-release', 'common-cu129');
    expect(image).toBe('projects/deeplearning-platform-release/global/images/common-cu129-v20260301');
  });
});

describe('a VM is shown', () => {
  it('with its number, addresses, disks and end, in UTC', async () => {
    const gce = await provider(() => undefined);
    expect(await gce.get(PLACE)).toEqual({
      ...PLACE,
      id: '5150838294710563187',
      state: 'RUNNING',
      machineType: 'g2-standard-24',
      provisioningModel: 'STANDARD',
      labels: VM.labels,
      created: '2026-03-01T10:00:00.000Z',
      lastStart: '2026-03-01T10:00:09.500Z',
      terminationTime: '2026-03-01T22:00:09.500Z',
      internalAddress: '10.128.0.2',
      externalAddress: '34.1.2.3',
      disks: [{ name: 'vm', sizeGb: 200, autoDelete: true }],
      preempted: false,
    });
  });

  it('with the end that its duration makes, where Google does not say it', async () => {
    const { resourceStatus: _, ...vm } = VM;
    expect((await (await provider(always(vm))).get(PLACE))?.terminationTime).toBe('2026-03-01T22:00:09.500Z');
    google?.close();
    const stopped = { ...vm, status: 'TERMINATED' };
    expect((await (await provider(always(stopped))).get(PLACE))?.terminationTime).toBeUndefined();
  });

  it.each([
    ['STAGING', 'STAGING'],
    ['REPAIRING', 'PROVISIONING'],
    ['SUSPENDING', 'STOPPING'],
    ['PENDING_STOP', 'STOPPING'],
    ['STOPPED', 'TERMINATED'],
    ['DEPROVISIONING', 'DELETING'],
    ['SOMETHING_NEW', 'RUNNING'],
  ])('as what costs money where it may: %s is %s', async (status, state) => {
    const gce = await provider(always({ ...VM, status }));
    expect((await gce.get(PLACE))?.state).toBe(state);
  });

  it('as preempted where Google ended it after its last start, and not where a person stopped it', async () => {
    const spot = { ...VM, status: 'TERMINATED', scheduling: { provisioningModel: 'SPOT' } };
    const ended = (insertTime: string, operationType: string) => ({
      items: [{ name: 'o', status: 'DONE', operationType, insertTime, targetId: VM.id }],
    });
    const seen = async (operations: object) => {
      google?.close();
      const gce = await provider(({ path }) => ({ body: path.endsWith('/operations') ? operations : spot }));
      return (await gce.get(PLACE))?.preempted;
    };
    expect(await seen(ended('2026-03-01T11:00:00Z', 'compute.instances.preempted'))).toBe(true);
    expect(await seen(ended('2026-03-01T09:00:00Z', 'compute.instances.preempted'))).toBe(false);
    expect(await seen(ended('2026-03-01T11:00:00Z', 'stop'))).toBe(false);
    expect(google!.asked.at(-1)!.query.get('filter')).toBe(`targetId = ${VM.id}`);
  });

  it('as not there where it is not', async () => {
    const gce = await provider(() =>
      refusal(404, 'notFound', `The resource 'projects/${AT}/instances/vm' was not found`),
    );
    expect(await gce.get(PLACE)).toBeUndefined();
    expect(await gce.guestAttributes(PLACE, 'hostkeys/')).toEqual({});
    await expect(gce.delete(PLACE, UUID)).rejects.toMatchObject({ code: 'vm_not_found' });
  });

  it('in lists of all zones and pages, only with all its labels', async () => {
    const other = { ...VM, name: 'other', labels: { tuneyard: 'vm', 'tuneyard-owner': 'bob' } };
    const gce = await provider(({ query }) => ({
      body: query.get('pageToken')
        ? { items: { 'zones/europe-west4-a': { instances: [{ ...VM, name: 'far', zone: 'zones/europe-west4-a' }] } } }
        : { items: { 'zones/us-central1-a': { instances: [VM, other] }, 'zones/x': {} }, nextPageToken: '2' },
    }));
    const found = await gce.list('p', { tuneyard: 'vm', 'tuneyard-owner': 'ada' });
    expect(found.map(({ name, zone }) => `${zone}/${name}`)).toEqual(['us-central1-a/vm', 'europe-west4-a/far']);
    const [first] = google!.asked;
    expect(first!.query.get('filter')).toBe('(labels.tuneyard = "vm") (labels.tuneyard-owner = "ada")');
    // What a zone that does not answer holds must not count as gone.
    expect(first!.query.get('returnPartialSuccess')).not.toBe('true');
  });

  it('with what it has left behind', async () => {
    const gce = await provider(({ path }) => {
      if (path === 'p/aggregated/disks') return { body: { items: { 'zones/a': { disks: [{ name: 'vm' }] } } } };
      return { body: { items: { 'regions/a': { addresses: [{ name: 'vm-ip' }] } } } };
    });
    expect(await gce.leftovers('p', 'vm')).toEqual({ disks: ['vm'], addresses: ['vm-ip'] });
    expect(google!.asked.map(({ query }) => query.get('filter'))).toEqual(Array(2).fill('(labels.tuneyard-vm = "vm")'));
  });
});

describe('a VM is changed', () => {
  it('in single keys of its metadata, the others kept, anew where somebody was faster', async () => {
    const items = [
      { key: 'ssh-keys', value: 'ada:ssh-ed25519 AAAA' },
      { key: 'tuneyard-delete-at', value: 'then' },
      { key: 'old', value: '1' },
    ];
    let reads = 0;
    const gce = await provider(({ method, body }) => {
      if (method === 'GET') return { body: { ...VM, metadata: { fingerprint: `${++reads}aaa`, items } } };
      return body.includes('"1aaa"')
        ? refusal(412, 'conditionNotMet', 'Supplied fingerprint does not match.')
        : undefined;
    });
    await gce.setMetadata(PLACE, { 'tuneyard-delete-at': 'now', old: undefined, fresh: 'x' });
    const [refused, taken] = changes();
    expect(JSON.parse(refused!.body).fingerprint).toBe('1aaa');
    expect(JSON.parse(taken!.body)).toEqual({
      fingerprint: '2aaa',
      items: [
        { key: 'ssh-keys', value: 'ada:ssh-ed25519 AAAA' },
        { key: 'tuneyard-delete-at', value: 'now' },
        { key: 'fresh', value: 'x' },
      ],
    });
    expect(refused!.query.get('requestId')).not.toBe(taken!.query.get('requestId'));
  });

  it('in its time limit, the rest of its scheduling kept', async () => {
    const stopped = { ...VM, status: 'TERMINATED', scheduling: { ...VM.scheduling, provisioningModel: 'SPOT' } };
    const gce = await provider(({ method, path }) =>
      method === 'GET' ? { body: path.endsWith('/operations') ? {} : stopped } : undefined,
    );
    await gce.setTerminationTime(PLACE, new Date(NOW + 5400_000).toISOString());
    expect(changes()[0]!.path).toBe(`${AT}/instances/vm/setScheduling`);
    expect(sent()).toEqual({
      automaticRestart: false,
      instanceTerminationAction: 'DELETE',
      maxRunDuration: { seconds: '5400' },
      onHostMaintenance: 'TERMINATE',
      provisioningModel: 'SPOT',
    });
    for (const wrong of [NOW + 10_000, NOW + 121 * 86_400_000]) {
      const time = new Date(wrong).toISOString();
      await expect(gce.setTerminationTime(PLACE, time)).rejects.toMatchObject({ data: { reason: 'time' } });
    }
  });

  it('and what was deleted is known to the moment, whoever did it', async () => {
    const operation = (operationType: string, endTime: string, more: object = {}) => ({
      ...{ name: 'o', status: 'DONE', operationType, endTime, ...more },
    });
    const at = async (items: object[]) => {
      google?.close();
      return (await provider(always({ items }))).deletedAt(PLACE, VM.id);
    };
    const start = operation('insert', '2026-03-01T02:00:20-08:00');
    const failed = { error: { errors: [{ code: 'RESOURCE_NOT_READY' }] } };
    expect(await at([start, operation('delete', '2026-03-01T04:00:00-08:00')])).toBe('2026-03-01T12:00:00.000Z');
    expect(await at([start, operation('compute.instances.preempted', '2026-03-01T13:00:00Z')])).toBe(
      '2026-03-01T13:00:00.000Z',
    );
    expect(await at([start, operation('delete', '2026-03-01T13:00:00Z', failed)])).toBeUndefined();
    expect(await at([start])).toBeUndefined();
  });
});

describe('what a VM says of itself is read', () => {
  it('from its serial output, on from where it was left', async () => {
    const gce = await provider(always({ contents: 'boot\n', next: '4096', start: '10' }));
    expect(await gce.serialOutput(PLACE, 10)).toEqual({ text: 'boot\n', next: 4096 });
    expect(google!.asked[0]!.query.get('start')).toBe('10');
  });

  it('from its guest attributes', async () => {
    const items = [
      { namespace: 'hostkeys', key: 'ssh-ed25519', value: 'AAAAC3' },
      { namespace: 'hostkeys', key: 'ecdsa-sha2-nistp256', value: 'AAAAE2' },
    ];
    const gce = await provider(always({ queryPath: 'hostkeys/', queryValue: { items } }));
    expect(await gce.guestAttributes(PLACE, 'hostkeys/')).toEqual({
      'ssh-ed25519': 'AAAAC3',
      'ecdsa-sha2-nistp256': 'AAAAE2',
    });
    expect(google!.asked[0]!.query.get('queryPath')).toBe('hostkeys/');
  });

  it('and of its project, whether OS Login turns its keys off', async () => {
    const items = [{ key: 'enable-oslogin', value: 'TRUE' }];
    const project = { name: 'p', commonInstanceMetadata: { items }, defaultServiceAccount: '1-compute@developer' };
    expect(await (await provider(always(project))).project('p')).toEqual({
      ...{ project: 'p', osLogin: true, asksForMore: false, defaultServiceAccount: '1-compute@developer' },
    });
    google?.close();
    expect((await (await provider(always({ name: 'p' }))).project('p')).osLogin).toBe(false);
  });
});
