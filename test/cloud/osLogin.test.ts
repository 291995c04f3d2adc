/** Projects that log in by OS Login: the VM's key goes into a login profile, for as long as the VM is there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudService } from '@host/cloud/cloudService';
import { gceProvider } from '@host/cloud/gce/gceProvider';
import type { CreateVm } from '@protocol/cloud';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sshdMissing } from '../support/ssh/sshd';
import { GoogleStandIn } from './standIn/googleStandIn';

const HOUR = 3_600_000;
const project = 'tune-project';
const PERSON = 'person@example.com';

describe.skipIf(sshdMissing)(`OS Login${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let google: GoogleStandIn;
  let home: string;
  const services: CloudService[] = [];

  beforeEach(async () => {
    google = await GoogleStandIn.start({ speed: 30, projects: [project] });
    google.project().items.push({ key: 'enable-oslogin', value: 'TRUE' });
    home = await mkdtemp(join(tmpdir(), 'tuneyard-login-'));
  });
  afterEach(async () => {
    for (const service of services.splice(0)) service.dispose();
    await google.close();
    await rm(home, { recursive: true, force: true });
  });

  /** The account here is one that no VM knows: whoever gets in has asked OS Login for its name. */
  async function open(kind: 'authorized_user' | 'service_account' = 'authorized_user'): Promise<CloudService> {
    const { now, sleep } = google.clock;
    const credentialsFile = await google.credentialsFile(kind);
    const provider = gceProvider({ endpoint: google.endpoint, credentialsFile, now, sleep, firstPause: 5 });
    const user = 'nobody-there';
    const service = new CloudService({ provider, home, version: '0.1.0', user, sshPort: google.sshPort, now, sleep });
    services.push(service);
    return service;
  }
  const wish: CreateVm = {
    project,
    name: 'tune-1',
    machine_type: 'g2-standard-4',
    zones: ['us-central1-a'],
    provisioning_model: 'STANDARD',
  };
  const end = (account = PERSON) => {
    const sent = google.requests.findLast(({ path }) => path.includes(encodeURIComponent(account)))?.body;
    return Number((sent as { expirationTimeUsec: string }).expirationTimeUsec) / 1000;
  };

  it('lets a VM in by the name that the profile gives, with a key that is in no metadata', async () => {
    const service = await open();
    const texts: string[] = [];
    service.onDidProgress(({ text }) => texts.push(text));
    const vm = await service.create(wish);
    expect(vm.state).toBe('RUNNING');
    const { attributes } = google.instance('tune-1');
    expect(attributes['enable-oslogin']).toBe('TRUE');
    expect(attributes['ssh-keys']).toBeUndefined();
    expect(google.world.osLogin.keysOf(PERSON)).toHaveLength(1);
    expect(texts.join('\n')).toContain(`uses OS Login: ${PERSON} logs in to tune-1 as root`);
    // A day longer than Google's own limit at most, never for good.
    const limit = google.instance('tune-1').limit!;
    expect(end()).toBeGreaterThan(limit);
    expect(end()).toBeLessThan(limit + 25 * HOUR);
  });

  it('takes the key away with the VM, and says so', async () => {
    const service = await open();
    await service.create(wish);
    const { verified } = await service.delete({ vm: 'tune-1' });
    expect(google.world.osLogin.keysOf(PERSON)).toEqual([]);
    expect(verified.join('\n')).toContain(`login profile of ${PERSON}`);
  });

  it('deletes a VM all the same where the key cannot be taken away: it ends by itself', async () => {
    const service = await open();
    await service.create(wish);
    google.world.osLogin.hasApi = false;
    const { verified } = await service.delete({ vm: 'tune-1' });
    expect(google.instances()).toEqual([]);
    expect(verified.join('\n')).not.toContain('login profile');
    await google.clock.advance(14 * 24 * HOUR);
    expect(google.world.osLogin.keysOf(PERSON)).toEqual([]);
  });

  it('leaves no key of a VM that could not be had', async () => {
    const service = await open();
    google.stock('us-central1-a', 'g2-standard-4', 0);
    await expect(service.create(wish)).rejects.toMatchObject({ code: 'cloud_stockout' });
    expect(google.world.osLogin.keysOf(PERSON)).toEqual([]);
  });

  it('lets the key live as long as the VM, where that is extended', async () => {
    const service = await open();
    await service.create(wish);
    const before = end();
    await service.extend('tune-1', 40 * 3600, { restart: true });
    expect(end()).toBeGreaterThan(before + 20 * HOUR);
    expect(google.instance('tune-1').attributes['ssh-keys']).toBeUndefined();
    expect(google.world.osLogin.keysOf(PERSON)).toHaveLength(1);
  });

  it('works for a service account, and where a policy forbids to switch it off', async () => {
    google.project().requiresOsLogin = true;
    const service = await open('service_account');
    await service.create(wish);
    expect(google.world.osLogin.keysOf(`robot@${project}.iam.gserviceaccount.com`)).toHaveLength(1);
  });

  it('asks whose credentials they are where no file says it', async () => {
    const { now, sleep } = google.clock;
    const file = await google.credentialsFile();
    const { readFile, writeFile } = await import('node:fs/promises');
    const { account: _, ...nameless } = JSON.parse(await readFile(file, 'utf8')) as { account: string };
    await writeFile(file, JSON.stringify(nameless));
    const env = { HOME: home, CLOUDSDK_CONFIG: home };
    const provider = gceProvider({ endpoint: google.endpoint, credentialsFile: file, now, sleep, firstPause: 5, env });
    const login = await provider.importSshKey(project, 'ssh-ed25519 AAAA', now() + HOUR);
    expect(login).toMatchObject({ account: PERSON, user: 'root' });
  });

  it('goes on without a project to count on where these credentials may not count on it', async () => {
    google.world.osLogin.deniesQuota.add(project);
    await (await open()).create(wish);
    expect(google.world.osLogin.keysOf(PERSON)).toHaveLength(1);
  });

  it('names the role that is missing where a VM lets nobody in, and leaves nothing that costs', async () => {
    google.world.osLogin.lacksRole.add(PERSON);
    await expect((await open()).create(wish)).rejects.toMatchObject({
      code: 'cloud_permission',
      message: expect.stringContaining(`--member=user:${PERSON} --role=roles/compute.osLogin`),
    });
    expect(google.instances()).toEqual([]);
    expect(google.world.osLogin.keysOf(PERSON)).toEqual([]);
  });

  it('says which API is to be enabled, before anything is made', async () => {
    google.world.osLogin.hasApi = false;
    await expect((await open()).create(wish)).rejects.toMatchObject({
      code: 'cloud_permission',
      message: expect.stringContaining(`gcloud services enable oslogin.googleapis.com --project=${project}`),
    });
    expect(google.requests.some(({ name }) => name === 'instances.insert')).toBe(false);
  });

  it('is refused where a person would have to answer at each login', async () => {
    google.project().items.push({ key: 'enable-oslogin-2fa', value: 'TRUE' });
    await expect((await open()).create(wish)).rejects.toMatchObject({
      code: 'cloud_invalid',
      data: { reason: 'os_login' },
    });
    expect(google.requests.some(({ name }) => name === 'instances.insert')).toBe(false);
  });
});
