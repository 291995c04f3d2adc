/** Commands over SSH where hosts differ: login shells, what those say, and how many channels they allow. */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accountsMissing, hostOf, makeAccount, person } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';

describe.skipIf(sshdMissing)(`commands over SSH${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(() => sshd?.dispose());

  it('what start-up files of the shell say gets into no output', async () => {
    await writeFile(join(sshd.home, '.bashrc'), 'echo "Welcome to box!"; echo "Quota: 90%" >&2\n');
    try {
      await using host = hostOf(sshd.sshConfig('box'), { dir: sshd.dir });
      expect(await host.exec(['sh', '-c', 'echo out; echo err >&2'])).toEqual({
        code: 0,
        stdout: 'out\n',
        stderr: 'err\n',
      });
      expect(await host.home()).toBe(sshd.home);
    } finally {
      await rm(join(sshd.home, '.bashrc'));
    }
  });

  it('a shell that runs nothing is quoted in the error', async () => {
    await using refusing = await startSshd({ config: ['ForceCommand echo This account is closed.'] });
    await using host = hostOf(refusing.sshConfig('box'), { dir: refusing.dir });
    await expect(host.exec(['true'])).rejects.toMatchObject({
      code: 'remote_failed',
      message: expect.stringContaining('This account is closed.'),
    });
  });

  it('a host without SFTP says what it lacks, and still runs commands', async () => {
    await using bare = await startSshd({ sftp: '/nonexistent' });
    await using talking = await startSshd({ sftp: 'echo Welcome to this machine, stranger; sleep 1' });
    for (const server of [bare, talking]) {
      await using host = hostOf(server.sshConfig('box'), { dir: server.dir });
      await expect(host.stat('~')).rejects.toMatchObject({
        code: 'remote_failed',
        message: expect.stringContaining('SFTP'),
      });
      expect((await host.exec(['echo', 'hi'])).stdout).toBe('hi\n');
    }
  });

  it('a command waits for the person who logs in, its time limit does not run meanwhile', async () => {
    const slow = {
      ...person(),
      trustHostKey: () => new Promise<boolean>((resolve) => setTimeout(resolve, 1500, true)),
    };
    const file = join(sshd.dir, 'slowly');
    await using host = hostOf(sshd.sshConfig('box', [`UserKnownHostsFile ${file}`]), { dir: sshd.dir, prompts: slow });
    expect((await host.exec(['echo', 'hi'], { timeoutMs: 1000 })).stdout).toBe('hi\n');
  });

  it('twenty commands at once all get their own words, over one connection', async () => {
    await using wide = await startSshd({ config: ['MaxSessions 50'] });
    const connections: string[] = [];
    await using host = hostOf(wide.sshConfig('box'), { dir: wide.dir, log: (text) => connections.push(text) });
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, index) => host.exec(['sh', '-c', `sleep 0.5; echo ${index}`])),
    );
    expect(all.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(connections.filter((text) => text.includes('connecting over'))).toHaveLength(1);
  });

  it('twenty commands at once all run where the server allows ten on a connection', async () => {
    await using host = hostOf(sshd.sshConfig('box'), { dir: sshd.dir });
    const file = join(sshd.home, 'running');
    // Each waits until all twenty are there: none may wait for another one's place
    const script = `echo x >> ${file}; while [ $(wc -l < ${file}) -lt 20 ]; do sleep 0.1; done; echo done`;
    const all = await Promise.all(
      Array.from({ length: 20 }, () => host.exec(['sh', '-c', script], { timeoutMs: 60_000 })),
    );
    expect(all.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 20 }, () => 'done\n'));
  });

  const missing = accountsMissing;
  it.skipIf(missing)(
    `where a second connection would need a new one-time answer, commands wait their turn${missing ? ` (${missing})` : ''}`,
    async () => {
      const account = makeAccount();
      try {
        await using narrow = await startSshd({
          config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'MaxSessions 2', 'MaxAuthTries 2'],
        });
        // The answer is forgotten as a one-time code would be: the account's password changes after it
        const one = person({ answers: [[account.password]] });
        await using host = hostOf(narrow.sshConfig('box', [`User ${account.name}`, 'PubkeyAuthentication no']), {
          dir: narrow.dir,
          prompts: one,
        });
        await host.connect();
        account.changePassword();
        const all = await Promise.all(
          Array.from({ length: 6 }, (_, index) => host.exec(['sh', '-c', `sleep 0.3; echo ${index}`])),
        );
        expect(all.map(({ stdout }) => stdout)).toEqual(['0\n', '1\n', '2\n', '3\n', '4\n', '5\n']);
        expect(one.asked).toHaveLength(1);
      } finally {
        account.dispose();
      }
    },
  );

  it('a place that a cancelled command held is free again', async () => {
    await using narrow = await startSshd({ config: ['MaxSessions 2'] });
    await using host = hostOf(narrow.sshConfig('box'), { dir: narrow.dir });
    for (let round = 0; round < 5; round += 1) {
      const stop = new AbortController();
      const running = [1, 2, 3].map(() => host.exec(['sleep', '600'], { signal: stop.signal }));
      setTimeout(() => stop.abort(), 300);
      const cancelled = { status: 'rejected', reason: expect.objectContaining({ code: 'cancelled' }) };
      expect(await Promise.allSettled(running)).toEqual([cancelled, cancelled, cancelled]);
    }
    expect((await host.exec(['echo', 'free'])).stdout).toBe('free\n');
  });

  for (const shell of ['/bin/csh', '/usr/bin/fish', '/bin/zsh', '/bin/dash']) {
    const why = missing ?? (existsSync(shell) ? undefined : `needs ${shell}: install its Debian package`);
    it.skipIf(why)(`arguments arrive as given where people log in with ${shell}${why ? ` (${why})` : ''}`, async () => {
      const account = makeAccount({ shell });
      await using other = await startSshd();
      await using host = hostOf(other.sshConfig('box', [`User ${account.name}`]), { dir: other.dir });
      try {
        const argv = [
          "it's",
          '$HOME',
          '`id`',
          '!!',
          'a!b',
          'back\\slash\\\\',
          'two\nlines',
          "\\'",
          '*',
          '~',
          '{a,b}',
          'ü🎉',
        ];
        const { stdout, stderr } = await host.exec(['printf', '%s|', ...argv], { env: { A: "'!\\" } });
        expect({ stdout, stderr }).toEqual({ stdout: `${argv.join('|')}|`, stderr: '' });
      } finally {
        await host.disconnect();
        account.dispose();
      }
    });
  }
});
