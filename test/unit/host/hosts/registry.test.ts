/** The list of hosts that a person chooses from. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddedHost } from '@host/hosts/hosts';
import { HostRegistry } from '@host/hosts/registry';
import type { TuneyardError } from '@protocol/errors';
import { afterEach, beforeEach, expect, it } from 'vitest';

let home: string;
let path: string;
let added: AddedHost[];
let hosts: HostRegistry;
let problems: TuneyardError[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tuneyard-hosts-'));
  await mkdir(join(home, '.ssh'));
  path = join(home, '.ssh', 'config');
  added = [];
  problems = [];
  hosts = make();
});
afterEach(async () => {
  hosts.dispose();
  await rm(home, { recursive: true, force: true });
});

function make(): HostRegistry {
  const never = async () => undefined;
  return new HostRegistry({
    home,
    sshConfigPaths: [path],
    prompts: { trustHostKey: never, passphrase: never, password: never, answers: never },
    added: {
      get: () => added,
      set: async (all) => {
        added = [...all];
      },
    },
    onProblem: (problem) => problems.push(problem),
  });
}

const ids = () => hosts.list().map(({ id }) => id);

it('this machine comes first, then the configuration, then what was added; nothing connects by being listed', async () => {
  added = [{ name: 'mine', hostName: '10.0.0.9' }];
  await writeFile(path, 'Host b a\nHost *\n');
  expect(ids()).toEqual(['local', 'ssh:b', 'ssh:a', 'ssh:mine']);
  expect(hosts.list().map(({ state }) => state.kind)).toEqual([
    'connected',
    'disconnected',
    'disconnected',
    'disconnected',
  ]);
  expect(hosts.get('ssh:a')?.label).toBe('a');
  expect(hosts.get('ssh:nobody')).toBeUndefined();
});

it('an added host is kept, taken names are refused, and only added hosts can be removed', async () => {
  await writeFile(path, 'Host gpu\n');
  let changes = 0;
  hosts.onDidChange(() => {
    changes += 1;
  });
  const host = await hosts.add({ name: 'mine', hostName: '10.0.0.9', user: 'me', port: 2222 });
  expect(host.id).toBe('ssh:mine');
  expect(changes).toBe(1);
  for (const name of ['mine', 'gpu', ' ']) {
    await expect(hosts.add({ name, hostName: 'x' })).rejects.toMatchObject({ code: 'usage' });
  }
  await expect(hosts.remove('ssh:gpu')).rejects.toMatchObject({ code: 'usage' });
  await expect(hosts.remove('local')).rejects.toMatchObject({ code: 'usage' });

  hosts.dispose();
  hosts = make();
  expect(ids()).toEqual(['local', 'ssh:gpu', 'ssh:mine']);
  await hosts.remove('ssh:mine');
  expect(ids()).toEqual(['local', 'ssh:gpu']);
  expect(added).toEqual([]);
});

it('a change of the configuration shows by itself, and hosts that stay are the same', async () => {
  await writeFile(path, 'Host a\nHost b\n');
  const a = hosts.get('ssh:a');
  let changes = 0;
  hosts.onDidChange(() => {
    changes += 1;
  });
  // As editors save: a new file in the place of the old one
  await writeFile(`${path}.new`, 'Host a\n  Port 22\nHost c\n');
  await rename(`${path}.new`, path);
  await expect.poll(ids).toEqual(['local', 'ssh:a', 'ssh:c']);
  expect(hosts.get('ssh:a')).toBe(a);
  expect(changes).toBe(1);
});

it('a configuration that comes later is found, and so are files it includes by pattern', async () => {
  await mkdir(join(home, '.ssh', 'conf.d'));
  expect(ids()).toEqual(['local']);
  await writeFile(path, 'Include conf.d/*\n');
  await writeFile(join(home, '.ssh', 'conf.d', 'one'), 'Host one\n');
  await expect.poll(ids).toEqual(['local', 'ssh:one']);
  await writeFile(join(home, '.ssh', 'conf.d', 'two'), 'Host two\n');
  await expect.poll(ids).toEqual(['local', 'ssh:one', 'ssh:two']);
});

it('a broken line is told once, and the other hosts are there', async () => {
  await writeFile(path, 'Host a\n  HostName\nHost b\n');
  expect(ids()).toEqual(['local', 'ssh:a', 'ssh:b']);
  await writeFile(path, 'Host a\n  HostName\nHost b\nHost c\n');
  await expect.poll(ids).toEqual(['local', 'ssh:a', 'ssh:b', 'ssh:c']);
  expect(problems.map(({ place }) => place)).toEqual([{ file: path, line: 2 }]);
});
