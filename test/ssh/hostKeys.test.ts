/** Whether the host is the one it says it is, on a real sshd: nothing goes to a host that is not. */
import { execFileSync } from 'node:child_process';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hostOf, hostsOf, type Person, person } from '../support/ssh/sshClient';
import { makeKey, type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';

describe.skipIf(sshdMissing)(`host keys${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let sshd: Sshd;
  let known: string;
  let name: string;
  let stranger: string;

  beforeAll(async () => {
    sshd = await startSshd({ hostKeys: ['ed25519', 'rsa', 'ecdsa'] });
    known = join(sshd.dir, 'mine');
    name = `[127.0.0.1]:${sshd.port}`;
    stranger = (await makeKey(join(sshd.dir, 'stranger'), 'ed25519')).split(' ').slice(0, 2).join(' ');
  });
  afterAll(() => sshd?.dispose());
  beforeEach(() => rm(known, { force: true }));

  const fingerprint = (type: 'ed25519' | 'rsa' | 'ecdsa') => sshd.hostKey(type).fingerprint;
  const config = (...lines: string[]) => sshd.sshConfig('box', [...lines, `UserKnownHostsFile ${known}`]);
  const connect = async (prompts: Person, ...lines: string[]) => {
    await using host = hostOf(config(...lines), { dir: sshd.dir, prompts });
    await host.connect();
    return (await host.exec(['echo', 'hi'])).stdout;
  };
  const failure = (prompts: Person, ...lines: string[]) => connect(prompts, ...lines).catch((error) => error);

  it('an unknown key is asked about with the fingerprint that ssh shows, and remembered', async () => {
    const one = person({ trustHostKey: [true] });
    expect(await connect(one)).toBe('hi\n');
    expect(one.asked).toEqual([
      { question: 'trustHostKey', host: `box (${name})`, algorithm: 'ed25519', fingerprint: fingerprint('ed25519') },
    ]);
    expect(await readFile(known, 'utf8')).toBe(`${name} ${sshd.hostKey('ed25519').line}\n`);
    expect((await stat(known)).mode & 0o777).toBe(0o600);
    // OpenSSH agrees with what was written
    expect(execFileSync('ssh-keygen', ['-F', name, '-f', known], { encoding: 'utf8' })).toContain('ssh-ed25519');

    const again = person();
    expect(await connect(again)).toBe('hi\n');
    expect(again.asked).toEqual([]);
  });

  it('a key that is not trusted is not connected to, and not remembered', async () => {
    expect(await failure(person({ trustHostKey: [false] }))).toMatchObject({ code: 'host_key_unknown' });
    expect(await failure(person())).toMatchObject({ code: 'cancelled' });
    await expect(stat(known)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([true, false])(
    'an answer (%s) that comes when the connection has ended is nobody’s any more',
    async (trusted) => {
      let answer: (trusted: boolean) => void = () => {};
      const one = person();
      const asked = new Promise<void>((resolve) => {
        one.trustHostKey = () => {
          resolve();
          return new Promise((answered) => {
            answer = answered;
          });
        };
      });
      const failing = failure(one);
      await asked;
      sshd.dropConnections();
      expect(await failing).toMatchObject({ code: 'connection_failed' });
      answer(trusted);
      // An error that nobody catches would end the test run.
      await new Promise((resolve) => setTimeout(resolve, 200));
    },
  );

  it('with HashKnownHosts the name is remembered so that only who knows it finds it', async () => {
    expect(await connect(person({ trustHostKey: [true] }), 'HashKnownHosts yes')).toBe('hi\n');
    const text = await readFile(known, 'utf8');
    expect(text).toMatch(/^\|1\|[\w+/=]+\|[\w+/=]+ ssh-ed25519 /);
    expect(text).not.toContain('127.0.0.1');
    expect(execFileSync('ssh-keygen', ['-F', name, '-f', known], { encoding: 'utf8' })).toContain('ssh-ed25519');
    expect(await connect(person())).toBe('hi\n');
  });

  it('names that ssh-keygen hashed are known', async () => {
    await writeFile(known, `${name} ${sshd.hostKey('ed25519').line}\n`);
    execFileSync('ssh-keygen', ['-H', '-f', known], { stdio: 'ignore' });
    expect(await readFile(known, 'utf8')).toMatch(/^\|1\|/);
    expect(await connect(person())).toBe('hi\n');
  });

  it('a new line is added behind what is there, also where the last line has no end', async () => {
    await writeFile(known, `# mine\nother.example ${stranger}`);
    await connect(person({ trustHostKey: [true] }));
    expect(await readFile(known, 'utf8')).toBe(
      `# mine\nother.example ${stranger}\n${name} ${sshd.hostKey('ed25519').line}\n`,
    );
  });

  it.each(['rsa', 'ecdsa'] as const)('a host whose %s key is known is not asked about its other keys', async (type) => {
    await writeFile(known, `${name} ${sshd.hostKey(type).line}\n`);
    expect(await connect(person())).toBe('hi\n');
  });

  it('a changed key is refused, with the line to look at and both fingerprints', async () => {
    await writeFile(known, `# one\n${name} ${stranger}\n`);
    const one = person({ trustHostKey: [true] });
    const error = await failure(one);
    expect(error).toMatchObject({
      code: 'host_key_changed',
      place: { file: known, line: 2 },
      data: { offered: fingerprint('ed25519') },
    });
    expect(error.message).toContain(`${known}:2`);
    expect(error.message).toContain(fingerprint('ed25519'));
    expect(one.asked).toEqual([]);
    expect(await readFile(known, 'utf8')).toBe(`# one\n${name} ${stranger}\n`);
  });

  it('a changed key stays refused where the configuration asks for no checking', async () => {
    await writeFile(known, `${name} ${stranger}\n`);
    expect(await failure(person(), 'StrictHostKeyChecking no')).toMatchObject({ code: 'host_key_changed' });
  });

  it('a host that offers only another kind of key than the known one is refused', async () => {
    await using other = await startSshd({ hostKeys: ['rsa'] });
    const file = join(other.dir, 'mine');
    await writeFile(file, `[127.0.0.1]:${other.port} ${stranger}\n`);
    await using host = hostOf(other.sshConfig('box', [`UserKnownHostsFile ${file}`]), {
      dir: other.dir,
      prompts: person({ trustHostKey: [true] }),
    });
    await expect(host.connect()).rejects.toMatchObject({ code: 'host_key_changed', place: { line: 1 } });
  });

  it('a revoked key is refused, also where another line knows it', async () => {
    const { line } = sshd.hostKey('ed25519');
    await writeFile(known, `${name} ${line}\n@revoked * ${line}\n`);
    expect(await failure(person())).toMatchObject({ code: 'host_key_revoked', place: { file: known, line: 2 } });
  });

  it('every file counts, those of the system too', async () => {
    const [second, global] = [join(sshd.dir, 'second'), join(sshd.dir, 'global')];
    await writeFile(second, `${name} ${sshd.hostKey('ed25519').line}\n`);
    await writeFile(global, '');
    expect(await connect(person(), `UserKnownHostsFile ${known} ${second}`)).toBe('hi\n');
    await writeFile(global, `@revoked * ${sshd.hostKey('ed25519').line}\n`);
    const lines = [`UserKnownHostsFile ${known} ${second}`, `GlobalKnownHostsFile ${global}`];
    expect(await failure(person(), ...lines)).toMatchObject({ code: 'host_key_revoked', place: { file: global } });
  });

  it('patterns, lists and exclusions mean hosts', async () => {
    const { line } = sshd.hostKey('ed25519');
    await writeFile(known, `other,[127.0.*]:* ${line}\n`);
    expect(await connect(person())).toBe('hi\n');
    await writeFile(known, `[127.0.*]:*,!${name} ${line}\n`);
    const one = person();
    expect(await failure(one)).toMatchObject({ code: 'cancelled' });
    expect(one.asked).toHaveLength(1);
  });

  it('HostKeyAlias is the name that is looked for', async () => {
    await writeFile(known, `farm ${sshd.hostKey('ed25519').line}\n`);
    expect(await connect(person(), 'HostKeyAlias farm')).toBe('hi\n');
  });

  it('StrictHostKeyChecking is kept: yes asks nobody, accept-new takes what is new', async () => {
    const nobody = person({ trustHostKey: [true] });
    expect(await failure(nobody, 'StrictHostKeyChecking yes')).toMatchObject({
      code: 'host_key_unknown',
      message: expect.stringContaining(fingerprint('ed25519')),
    });
    expect(await connect(nobody, 'StrictHostKeyChecking accept-new')).toBe('hi\n');
    expect(nobody.asked).toEqual([]);
    expect(await readFile(known, 'utf8')).toContain(sshd.hostKey('ed25519').line);
  });

  it('lines that mean nothing, or more than we know, hide no other line', async () => {
    const { line } = sshd.hostKey('ed25519');
    await writeFile(
      known,
      `garbage\n\n@cert-authority * ${stranger}\n${name} ssh-ed25519 AAAA\n${name} ${line} a comment\n`,
    );
    expect(await connect(person())).toBe('hi\n');
  });

  it('two connections that wait for the same answer ask once', async () => {
    const one = person({ trustHostKey: [true] });
    const hosts = hostsOf(
      [sshd.sshConfig('a', [`UserKnownHostsFile ${known}`]), sshd.sshConfig('b', [`UserKnownHostsFile ${known}`])].join(
        '\n',
      ),
      { dir: sshd.dir, prompts: one },
    );
    await Promise.all(hosts.list().map((host) => host.connect()));
    expect(one.asked).toHaveLength(1);
    hosts.dispose();
  });

  describe('on the way over other hosts', () => {
    let inner: Sshd;
    beforeAll(async () => {
      inner = await startSshd();
    });
    afterAll(() => inner?.dispose());

    const route = (prompts: Person, jump: string[], lines: string[] = [], alias = 'inner') =>
      hostOf([sshd.sshConfig('jump', jump), inner.sshConfig(alias, ['ProxyJump jump', ...lines])].join('\n'), {
        dir: sshd.dir,
        prompts,
      });

    it('a jump host is gone over, and both keys are checked', async () => {
      const file = `UserKnownHostsFile ${known}`;
      const one = person({ trustHostKey: [true, true] });
      await using host = route(one, [file], [file]);
      expect((await host.exec(['printenv', 'HOME'])).stdout.trim()).toBe(inner.home);
      expect(one.asked.map(({ fingerprint }) => fingerprint)).toEqual([
        fingerprint('ed25519'),
        inner.hostKey('ed25519').fingerprint,
      ]);
    });

    it('a jump host whose key changed is refused, and nothing is sent through it', async () => {
      await writeFile(known, `${name} ${stranger}\n`);
      const one = person({ trustHostKey: [true] });
      await using host = route(one, [`UserKnownHostsFile ${known}`]);
      await expect(host.connect()).rejects.toMatchObject({ code: 'host_key_changed', place: { file: known, line: 1 } });
      expect(one.asked).toEqual([]);
    });

    it('a host behind a jump host whose key changed is refused', async () => {
      await writeFile(known, `[127.0.0.1]:${inner.port} ${stranger}\n`);
      await using host = route(person(), [], [`UserKnownHostsFile ${known}`]);
      await expect(host.connect()).rejects.toMatchObject({ code: 'host_key_changed' });
    });

    it('several jump hosts, with users and ports in the list, are gone over in order', async () => {
      const far = [
        sshd.sshConfig('one'),
        inner.sshConfig('two'),
        sshd.sshConfig('far', [`ProxyJump one,${sshd.user}@two:${inner.port}`]),
      ];
      const log: string[] = [];
      await using host = hostOf(far.join('\n'), { dir: sshd.dir, log: (text) => log.push(text) });
      expect((await host.exec(['printenv', 'HOME'])).stdout.trim()).toBe(sshd.home);
      const address = ({ user, port }: Sshd) => `${user}@127.0.0.1:${port}`;
      expect(log[0]).toContain([sshd, inner, sshd].map(address).join(', '));
    });

    it('a jump host has its own jump host, and "none" ends the chain', async () => {
      const log: string[] = [];
      const chain = [
        sshd.sshConfig('one', ['ProxyJump none']),
        inner.sshConfig('two', ['ProxyJump one']),
        sshd.sshConfig('far', ['ProxyJump two']),
        'Host *\n  ProxyJump one',
      ];
      await using host = hostOf(chain.join('\n'), { dir: sshd.dir, log: (text) => log.push(text) });
      await host.connect();
      expect(log[0]?.match(/127\.0\.0\.1/g)).toHaveLength(3);
    });

    it('a jump host that goes down takes the host with it, and the next call comes back', async () => {
      await using host = route(person(), []);
      await host.connect();
      sshd.dropConnections();
      await expect.poll(() => host.state.kind).toBe('disconnected');
      expect((await host.exec(['echo', 'back'])).stdout).toBe('back\n');
    });

    it('ProxyCommand connects, with its tokens', async () => {
      const command = `${process.execPath} -e "const s=require('net').connect(process.argv[2],process.argv[1]);process.stdin.pipe(s).pipe(process.stdout)" %h %p`;
      await using host = hostOf(inner.sshConfig('box', [`ProxyCommand ${command}`]), { dir: sshd.dir });
      expect((await host.exec(['echo', 'hi'])).stdout).toBe('hi\n');
    });

    it('a ProxyCommand that fails says so', async () => {
      await using host = hostOf(inner.sshConfig('box', ['ProxyCommand exit 1']), { dir: sshd.dir });
      await expect(host.connect()).rejects.toMatchObject({ code: 'connection_failed' });
    });
  });
});
