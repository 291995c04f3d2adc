/** The record of VMs: real files, real processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hostKeysFrom, sshKeysItem, vmKey, writeKnownHosts } from '@host/cloud/keys';
import { Ledger } from '@host/cloud/ledger';
import { VmHosts } from '@host/cloud/vmHosts';
import type { VmRecord } from '@host/cloud/vmRecord';
import { HostRegistry } from '@host/hosts/registry';
import { keysOf } from '@host/hosts/ssh/knownHosts';
import { afterEach, beforeEach, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let home: string;
let ledger: Ledger;
let children: ChildProcess[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tuneyard-ledger-'));
  ledger = new Ledger(home);
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(home, { recursive: true, force: true });
});

function record(name: string, changes: Partial<VmRecord> = {}): VmRecord {
  return {
    key: name,
    id: `00000000-0000-4000-8000-${name.padStart(12, '0').slice(-12)}`,
    name,
    project: 'p',
    owner: 'ada',
    create: {
      project: 'p',
      name,
      machine_type: 'g2-standard-4',
      zones: ['us-central1-a'],
      provisioning_model: 'STANDARD',
    },
    image: 'i',
    user: 'ada',
    written: 1,
    delete_at: 2,
    max_run_seconds: 3,
    attempts: [],
    ran: [],
    ...changes,
  };
}

/** Another process that takes a VM's lock, says so, and keeps it. */
async function holder(key: string): Promise<ChildProcess> {
  const script = `import { Ledger } from ${JSON.stringify(join(ROOT, 'src/cloud/ledger.ts'))};
    await new Ledger(${JSON.stringify(home)}).lock(${JSON.stringify(key)}); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout!, 'data');
  return child;
}

it('a name is given once, whoever asks at the same time', async () => {
  const tries = await Promise.allSettled([1, 2, 3, 4].map(() => ledger.create(record('one'))));
  expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(tries.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'usage' } });
});

it('two never hold a VM at once, and who waits gets it', async () => {
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const lock = await ledger.lock('one');
      most = Math.max(most, ++inside);
      await delay(3);
      inside--;
      await lock.release();
    }),
  );
  expect(most).toBe(1);
});

it('a VM whose process was killed is not locked for ever, one whose process lives is', async () => {
  const child = await holder('one');
  expect(await ledger.tryLock('one')).toBeUndefined();
  expect(await ledger.isBusy('one')).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await ledger.tryLock('one');
  expect(lock).toBeDefined();
  await lock?.release();
});

it('a later process of the same number is not taken for the one that held it', async () => {
  const lock = await ledger.lock('one');
  const [name] = (await readdir(join(home, 'vms/locks'))).filter((each) => each.startsWith('one.lock.'));
  const path = join(home, 'vms/locks', name!);
  const own = JSON.parse(await readFile(path, 'utf8'));
  expect(await ledger.isBusy('one')).toBe(true);
  await writeFile(path, JSON.stringify({ ...own, started: '1' }));
  expect(await ledger.isBusy('one')).toBe(false);
  await lock.release();
});

it('what a VM has cost stays when it is gone; its key does not', async () => {
  const one = record('one', { ended: { at: Date.now(), how: 'deleted', verified: ['a'], kept: [] } });
  await ledger.create(one);
  await vmKey(ledger, 'one');
  await ledger.end(one);
  expect(await ledger.list()).toEqual([]);
  expect(await ledger.history()).toEqual([one]);
  await expect(stat(ledger.files('one').folder)).rejects.toThrow();
  await ledger.create(record('one', { id: '11111111' }));
});

it('an end that a crash cut in two is finished, and history goes after 90 days', async () => {
  const day = 24 * 3600_000;
  const at = Date.now();
  const half = record('half', { ended: { at, how: 'deleted', verified: [], kept: [] } });
  await ledger.create(half);
  await vmKey(ledger, 'half');
  await vmKey(ledger, 'orphan');
  await vmKey(ledger, 'damaged');
  await writeFile(join(ledger.folder, 'damaged.json'), '{"key": "dam');
  await ledger.tidy(at);
  expect(await ledger.list()).toEqual([]);
  expect((await readdir(ledger.folder)).sort()).toEqual(['damaged', 'damaged.json', 'history', 'locks']);
  await ledger.tidy(at + 89 * day);
  expect(await ledger.history()).toHaveLength(1);
  await ledger.tidy(at + 91 * day);
  expect(await ledger.history()).toEqual([]);
});

it('a change by another process is heard of', async () => {
  await ledger.create(record('one'));
  const heard = new Promise<void>((resolve) => ledger.watch(resolve));
  await new Ledger(home).write(record('one', { problem: 'x' }));
  await heard;
});

it('nobody else can read the key, and the same VM keeps it', async () => {
  const key = await vmKey(ledger, 'one');
  expect(key).toMatch(/^ssh-ed25519 AAAA\S+$/);
  const { identity, folder } = ledger.files('one');
  expect((await stat(identity)).mode & 0o777).toBe(0o600);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  expect(await vmKey(ledger, 'one')).toBe(key);
  expect(await vmKey(ledger, 'two')).not.toBe(key);
});

it('the key in the metadata expires', () => {
  const item = sshKeysItem('ada', 'ssh-ed25519 AAAA', Date.UTC(2026, 0, 1));
  expect(item).toBe('ada:ssh-ed25519 AAAA google-ssh {"userName":"ada","expireOn":"2026-01-02T00:00:00+0000"}');
});

it('host keys are read from guest attributes, else from the console between its marks, and from nowhere else', async () => {
  const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIGg1T4kXkYkT9qmV5Tn3d6m0XlqQ0dJm1q3o5kqvZ0aB';
  expect(hostKeysFrom({ 'ssh-ed25519': blob })).toEqual([`ssh-ed25519 ${blob}`]);
  expect(hostKeysFrom({ 'hostkeys/ssh-ed25519': blob })).toEqual([`ssh-ed25519 ${blob}`]);
  const line = `[   12.1] cloud-init[9]: ssh-ed25519 ${blob} root@vm`;
  const begin = '-----BEGIN SSH HOST KEY KEYS-----';
  const end = '-----END SSH HOST KEY KEYS-----';
  expect(hostKeysFrom({}, `x\n${begin}\n${line}\n${end}\n`)).toEqual([`ssh-ed25519 ${blob}`]);
  expect(hostKeysFrom({}, `${line}\n`)).toEqual([]);
  expect(hostKeysFrom({}, `${begin}\n${line}`)).toEqual([]);
  await vmKey(ledger, 'one');
  await writeKnownHosts(ledger, record('one', { address: '10.0.0.7' }), 2222, [`ssh-ed25519 ${blob}`]);
  expect(await keysOf('[10.0.0.7]:2222', [ledger.files('one').knownHosts])).toHaveLength(1);
});

it('a VM that was reached is a host, and is none when it is gone', async () => {
  await ledger.create(record('one', { address: '127.0.0.9', reached: true }));
  await ledger.create(record('two', { address: '127.0.0.8' }));
  const vmHosts = new VmHosts(home, { port: 2200 });
  const registry = new HostRegistry({
    prompts: {} as never,
    added: { get: () => [], set: async () => {} },
    sshConfigPaths: [],
    vmHosts,
  });
  expect(registry.list().map(({ id }) => id)).toEqual(['local', 'ssh:one']);
  const host = registry.get('ssh:one');
  await expect(registry.remove('ssh:one')).rejects.toMatchObject({ code: 'usage' });

  const changed = new Promise<void>((resolve) => registry.onDidChange(resolve));
  await ledger.write(record('two', { address: '127.0.0.8', reached: true }));
  await changed;
  expect(registry.list().map(({ id }) => id)).toEqual(['local', 'ssh:one', 'ssh:two']);
  expect(registry.get('ssh:one')).toBe(host);

  const gone = new Promise<void>((resolve) => registry.onDidChange(resolve));
  await ledger.end(record('one', { ended: { at: 1, how: 'deleted', verified: [], kept: [] } }));
  await gone;
  expect(registry.get('ssh:one')).toBeUndefined();
  registry.dispose();
  vmHosts.dispose();
});

it.skipIf(process.getuid?.() === 0)(
  'a folder that cannot be written is said so, before anything is asked for (not as root)',
  async () => {
    await ledger.create(record('one'));
    await chmod(ledger.folder, 0o500);
    await expect(ledger.create(record('two'))).rejects.toMatchObject({ code: 'not_writable' });
    await chmod(ledger.folder, 0o700);
  },
);
