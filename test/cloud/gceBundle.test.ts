/** Google's library as it is carried along: small, quick, and with all that is asked of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultOf } from '@host/cloud/gce/faults';
import type { CallOptions, Compute } from '@host/cloud/gce/messages';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleCompute } from '../../scripts/build.mjs';
import { type Answers, answers, refusal } from './gceAnswers';

type Library = typeof import('../../src/cloud/gce/computeLibrary.mjs');

let folder: string;
let code: string;
let google: Answers;
let api: Compute;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tuneyard-gce-'));
  code = await bundleCompute();
  writeFileSync(join(folder, 'gce.cjs'), code);
  google = await answers(({ path, body }) => {
    if (path.includes('/aggregated/')) return { body: { items: { 'zones/z': {} } } };
    if (path === 'forbidden') return refusal(403, 'forbidden', "Required 'compute.projects.get' permission");
    if (path.endsWith('/regions')) return { body: { items: [] } };
    return { body: path.endsWith('/instances/vm') ? VM : { name: 'op', status: 'DONE', ...echo(body) } };
  });
  const library: Library = createRequire(import.meta.url)(join(folder, 'gce.cjs'));
  const { port } = new URL(google.endpoint);
  const authClient = new library.UserRefreshClient();
  authClient.setCredentials({ access_token: 'ya29.token', expiry_date: Date.now() + 3_600_000 });
  const auth = new library.GoogleAuth({ authClient });
  const place = { apiEndpoint: '127.0.0.1', port: Number(port), protocol: 'http' as const };
  const clients = Object.entries(library.CLIENTS).map(([name, Client]) => [
    name,
    new Client({ auth, ...place }, library.TRANSPORT),
  ]);
  api = Object.fromEntries(clients);
});

afterAll(() => {
  google?.close();
  rmSync(folder, { recursive: true, force: true });
});

const VM = {
  id: '5150838294710563187',
  name: 'vm',
  status: 'RUNNING',
  resourceStatus: { scheduling: { terminationTimestamp: '2026-03-01T12:00:00Z' } },
  disks: [
    {
      source: 'https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/vm',
      diskSizeGb: '200',
      autoDelete: true,
    },
  ],
};
const echo = (body: string) => (body ? { description: body } : {});
const limits = (): CallOptions => ({
  timeout: 10_000,
  signal: new AbortController().signal,
  retry: { retryCodes: [], backoffSettings: {} },
  autoPaginate: false,
});

it('is a twentieth of what it was', () => {
  expect(code.length).toBeLessThan(1_300_000);
});

it('knows every message that is sent and received', async () => {
  const zone = { project: 'p', zone: 'z' };
  const vm = { ...zone, instance: 'vm' };
  const change = { ...vm, requestId: '7d9d2b5e-39f5-4b26-b1a4-6d8c8a4f2a10' };
  const disk = { ...zone, disk: 'vm', requestId: change.requestId };
  const [read] = await api.instances.get(vm, limits());
  expect(read).toMatchObject({ ...VM, disks: [{ diskSizeGb: '200', autoDelete: true }] });

  await api.instances.delete(change, limits());
  await api.instances.stop(change, limits());
  await api.instances.start(change, limits());
  await api.instances.setMetadata({ ...change, metadataResource: { items: [{ key: 'a', value: 'b' }] } }, limits());
  await api.instances.setScheduling({ ...change, schedulingResource: { maxRunDuration: { seconds: 60 } } }, limits());
  await api.instances.getSerialPortOutput({ ...vm, port: 1, start: 0 }, limits());
  await api.instances.getGuestAttributes({ ...vm, queryPath: 'hostkeys/' }, limits());
  await api.images.getFromFamily({ project: 'p', family: 'f' }, limits());
  await api.projects.get({ project: 'p' }, limits());
  await api.zoneOperations.get({ ...zone, operation: 'op' }, limits());
  await api.zoneOperations.wait({ ...zone, operation: 'op' }, limits());
  await api.disks.delete(disk, limits());
  await api.disks.createSnapshot({ ...disk, snapshotResource: { name: 's', labels: { a: 'b' } } }, limits());
  const lists = [api.acceleratorTypes, api.addresses, api.disks, api.instances, api.machineTypes] as const;
  for (const list of lists) {
    const pages: AsyncIterable<unknown> = list.aggregatedListAsync({ project: 'p' }, limits());
    for await (const page of pages) expect(page).toEqual(['zones/z', expect.anything()]);
  }
  for await (const _ of api.regions.listAsync({ project: 'p' }, limits())) expect.unreachable();
  expect(google.asked.map(({ body }) => body).filter((body) => body.startsWith('{'))).toEqual([
    '{"items":[{"key":"a","value":"b"}]}',
    '{"maxRunDuration":{"seconds":"60"}}',
    '{"labels":{"a":"b"},"name":"s"}',
  ]);
});

it('and says what Google refuses', async () => {
  const thrown: unknown = await api.projects.get({ project: 'forbidden' }, limits()).catch((error: unknown) => error);
  expect(faultOf(thrown)).toMatchObject({
    http: 403,
    reasons: ['forbidden'],
    message: expect.stringContaining('Required'),
  });
});
