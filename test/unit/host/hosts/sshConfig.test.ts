/** The SSH configuration as `ssh` reads it: what `ssh -G` says of a host, we say too. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { SshConfig } from '@host/hosts/ssh/sshConfig';
import { routeTo, type SshOverrides } from '@host/hosts/ssh/sshSettings';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tuneyard-config-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function write(path: string, ...lines: string[]): Promise<string> {
  const full = join(home, '.ssh', path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, `${lines.join('\n')}\n`);
  return full;
}

async function read(...lines: string[]): Promise<SshConfig> {
  return new SshConfig([await write('config', ...lines)], home);
}

const last = (config: SshConfig, alias: string, overrides?: SshOverrides) =>
  routeTo(config, home, alias, overrides).at(-1)!;

describe('the hosts', () => {
  it('are the names, in order and once; patterns and exclusions are none', async () => {
    const config = await read(
      'Host b a',
      'Host *.lab !bad c',
      'host "quoted name" a',
      'Match host z',
      'HOST=d',
      'Host *',
    );
    expect(config.aliases()).toEqual(['b', 'a', 'c', 'quoted name', 'd']);
  });

  it('come from included files too, by pattern and relative to the folder of the configuration', async () => {
    await write('conf.d/20-two', 'Host two');
    await write('conf.d/10-one', 'Host one', '  Include ~/.ssh/deep/er');
    await write('conf.d/.hidden', 'Host hidden');
    await write('deep/er', 'Host inner');
    const config = await read('Include conf.d/* missing', 'Host mine');
    expect(config.problems).toEqual([]);
    expect(config.aliases()).toEqual(['one', 'inner', 'two', 'mine']);
  });

  it('are none where there is no configuration', () => {
    const config = new SshConfig([join(home, 'nothing')], home);
    expect([config.aliases(), config.problems]).toEqual([[], []]);
    expect(last(config, 'any.example')).toMatchObject({ hostName: 'any.example', port: 22, user: userInfo().username });
  });
});

describe('a broken line', () => {
  it.each([
    ['Host', 'Host'],
    ['  HostName', 'HostName'],
    ['  IdentityFile "~/.ssh/id', 'quotation mark'],
    ['Match host', 'value is missing'],
    ['  = 3', 'keyword'],
    ['  Host "a', 'quotation mark'],
  ])('is named with its place, and the rest counts: %s', async (line, what) => {
    const config = await read('Host a', '  User first', line, 'Host b', '  Port 2222');
    expect(config.problems).toHaveLength(1);
    expect(config.problems[0]).toMatchObject({
      code: 'ssh_config_invalid',
      place: { file: join(home, '.ssh/config'), line: 3 },
    });
    expect(config.problems[0]?.message).toContain(what);
    expect(last(config, 'a').user).toBe('first');
    expect(last(config, 'b').port).toBe(2222);
  });

  it('that is no host takes no other settings along', async () => {
    const config = await read('Host a', 'Host "', '  User nobody');
    expect(last(config, 'a').user).toBe(userInfo().username);
  });

  it('with a number that is none stops only the host it belongs to', async () => {
    const config = await read('Host a', '  Port twenty', 'Host b', '  Port 70000', 'Host c', '  Port 23');
    expect(() => last(config, 'a')).toThrow(/config:2: .*"twenty"/);
    expect(() => last(config, 'b')).toThrow(/config:4: /);
    expect(last(config, 'c').port).toBe(23);
  });

  it('that includes its own file ends', async () => {
    const config = await read('Include config', 'Host a');
    expect(config.aliases()).toEqual(['a']);
    expect(config.problems).toMatchObject([{ place: { line: 1 } }]);
  });
});

describe('what is said of a host', () => {
  it('is what is said first; keys add up; paths and tokens are resolved', async () => {
    const config = await read(
      'IdentityFile ~/.ssh/everywhere',
      'Host box',
      '  HostName %h.lab.example',
      '  User=me',
      '  IdentityFile "%d/my keys/%r@%h"',
      '  UserKnownHostsFile ~/.ssh/one ~/.ssh/two',
      '  StrictHostKeyChecking accept-new # as they say',
      '  ServerAliveInterval 7',
      '  ConnectTimeout 3',
      '  IdentityAgent none',
      'Host *',
      '  User other',
      '  Port 2200',
      '  HashKnownHosts yes',
    );
    expect(last(config, 'box')).toMatchObject({
      alias: 'box',
      hostName: 'box.lab.example',
      user: 'me',
      port: 2200,
      identityFiles: [join(home, '.ssh/everywhere'), join(home, 'my keys/me@box.lab.example')],
      userKnownHosts: [join(home, '.ssh/one'), join(home, '.ssh/two')],
      strictHostKeyChecking: 'accept-new',
      hashKnownHosts: true,
      aliveIntervalMs: 7000,
      connectTimeoutMs: 3000,
      agent: undefined,
    });
  });

  it('holds for a pattern only where nothing excludes the host', async () => {
    const config = await read('Host *.lab !old.lab ?x', '  User lab');
    const userOf = (alias: string) => last(config, alias).user === 'lab';
    expect(['a.lab', 'old.lab', 'ax', 'x', 'abx', 'lab'].map(userOf)).toEqual([true, false, true, false, false, false]);
  });

  it('holds for Match by host, original host and user; commands are never run', async () => {
    const witness = join(home, 'ran');
    const config = await read(
      'Host box',
      '  HostName real.example',
      `Match exec "touch ${witness}"`,
      '  Port 1',
      'Match host box',
      '  Port 2',
      'Match originalhost box host *.example !user admin',
      '  Port 3',
      'Match user admin all',
      '  Port 4',
      'Match final host *',
      '  Port 5',
    );
    expect(last(config, 'box').port).toBe(3);
    expect(last(config, 'box', { user: 'admin' }).port).toBe(4);
    expect(last(config, 'elsewhere').port).toBe(22);
    expect(existsSync(witness)).toBe(false);
    expect(config.problems).toEqual([]);
  });

  it('in a file that a block includes holds for that block only', async () => {
    await write('more', 'User more', 'Host box', '  Port 7', 'Host other', '  Port 8');
    const config = await read('Host box', '  Include more', '  Compression yes', 'Host other', '  Compression no');
    expect([last(config, 'box').user, last(config, 'box').port]).toEqual(['more', 7]);
    expect([last(config, 'other').user, last(config, 'other').port]).toEqual([userInfo().username, 22]);
  });

  const missing = existsSync('/usr/bin/ssh') ? '' : ' (needs ssh: install the Debian package openssh-client)';
  it.skipIf(missing)(`is agreed on by ssh itself${missing}`, async () => {
    await write('conf.d/a', 'Host web* !web9', '  Port 2022', '  IdentityFile ~/.ssh/web');
    const file = await write(
      'config',
      `Include ${join(home, '.ssh/conf.d')}/*`,
      'Host web1 db',
      '  HostName 10.0.0.%h',
      '  User "some one"',
      '  IdentityFile /keys/%n-%r-%p',
      '  ServerAliveCountMax=9',
      'Match originalhost db',
      '  ProxyJump me@bastion:2200,inner',
      'Host *',
      '  ProxyCommand nc %h %p',
      '  User last',
      '  IdentitiesOnly yes',
      '  PreferredAuthentications password,publickey',
    );
    const config = new SshConfig([file], home);
    for (const alias of ['web1', 'web9', 'db', 'else']) {
      const said = execFileSync('ssh', ['-F', file, '-G', alias], { encoding: 'utf8', stdio: 'pipe' });
      const get = (keyword: string) =>
        [...said.matchAll(new RegExp(`^${keyword} (.*)$`, 'gm'))].map(([, value]) => value);
      const ours = routeTo(config, home, alias);
      const mine = ours.at(-1)!;
      const files = mine.identityFiles.map((path) => path.replace(`${home}/`, '~/'));
      expect(
        {
          hostname: [mine.hostName],
          user: [mine.user],
          port: [String(mine.port)],
          identityfile: mine.identitiesNamed ? files : get('identityfile'),
          serveralivecountmax: [String(mine.aliveCountMax)],
          identitiesonly: [mine.identitiesOnly ? 'yes' : 'no'],
          preferredauthentications: [mine.authentications.join(',')],
          jumps: ours.length - 1,
        },
        alias,
      ).toEqual({
        hostname: get('hostname'),
        user: get('user'),
        port: get('port'),
        identityfile: get('identityfile').map((path) =>
          path!.replace('%n', alias).replace('%r', mine.user).replace('%p', String(mine.port)),
        ),
        serveralivecountmax: get('serveralivecountmax'),
        identitiesonly: get('identitiesonly'),
        preferredauthentications: get('preferredauthentications'),
        jumps: (get('proxyjump')[0]?.split(',') ?? []).length,
      });
      expect(mine.proxyCommand === undefined).toBe(get('proxycommand').length === 0);
    }
  });
});

describe('the way over jump hosts', () => {
  const way = (config: SshConfig, alias: string) =>
    routeTo(config, home, alias).map(({ user, hostName, port }) => `${user}@${hostName}:${port}`);

  it('goes over names of the configuration, users and ports of the list, and addresses', async () => {
    const config = await read(
      'Host gate',
      '  HostName gate.example',
      '  User porter',
      'Host box',
      '  User me',
      '  ProxyJump gate,root@[::1]:2022,ssh://x@far.example:9',
    );
    expect(way(config, 'box')).toEqual(['porter@gate.example:22', 'root@::1:2022', 'x@far.example:9', 'me@box:22']);
  });

  it('that goes in a circle, or nowhere, is an error with its place', async () => {
    const config = await read('Host a', '  ProxyJump b', 'Host b', '  ProxyJump a', 'Host c', '  ProxyJump :22');
    expect(() => way(config, 'a')).toThrow(/config:\d: .*circle/);
    expect(() => way(config, 'c')).toThrow(/config:6: .*":22"/);
  });
});
