/** What every host promises, held to by this machine and by one over SSH alike. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileStat, Host } from '@host/hosts/host';
import { LocalHost } from '@host/hosts/local';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostOf } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { mountDisk } from '../unit/runs/support';

interface Place {
  host: Host;
  /** The home directory of the host, as this machine sees it. */
  home: string;
  dispose(): Promise<void>;
}

async function local(): Promise<Place> {
  const home = await mkdtemp(join(tmpdir(), 'tuneyard-local-'));
  const host = new LocalHost(home);
  return {
    host,
    home,
    dispose: async () => {
      host.dispose();
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function overSsh(): Promise<Place> {
  const sshd: Sshd = await startSshd();
  const host = hostOf(sshd.sshConfig('box'), { dir: sshd.dir });
  return {
    host,
    home: sshd.home,
    dispose: async () => {
      await host[Symbol.asyncDispose]();
      await sshd.dispose();
    },
  };
}

const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : '');
  } catch {
    return false;
  }
};

const disk = mountDisk('size=1m');

describe.each([
  ['this machine', local, process.platform === 'win32' ? 'needs a POSIX system' : undefined],
  ['a host over SSH', overSsh, sshdMissing],
] as const)('%s', (_name, open, missing) => {
  describe.skipIf(missing)(missing ?? 'keeps its word', () => {
    let place: Place;
    let host: Host;
    beforeAll(async () => {
      place = await open();
      host = place.host;
    });
    afterAll(() => place?.dispose());

    it('arguments arrive as they were given, whatever they hold', async () => {
      const argv = [
        "it's",
        'a "b"',
        '$HOME',
        '`id`',
        '!x',
        'back\\slash\\\\',
        'two\nlines\n',
        '',
        '*',
        'ü – 漢字 🎉',
        '\\n',
        '%s %%',
        ' ',
      ];
      const { stdout } = await host.exec([
        process.execPath,
        '-p',
        'JSON.stringify(process.argv.slice(1))',
        '--',
        ...argv,
      ]);
      expect(JSON.parse(stdout)).toEqual(argv);
    });

    it('environment, folder and input reach the program, and its words come back apart', async () => {
      await mkdir(join(place.home, "it's a folder"), { recursive: true });
      const script = 'printf %s "$A"; pwd; cat; echo no >&2; exit 3';
      const seen: string[] = [];
      const result = await host.exec(['sh', '-c', script], {
        env: { A: "o'ne\n" },
        cwd: "~/it's a folder",
        input: 'in\0put',
        onOutput: (text) => seen.push(text),
      });
      expect(result).toEqual({ code: 3, stdout: `o'ne\n${place.home}/it's a folder\nin\0put`, stderr: 'no\n' });
      expect(seen.join('')).toContain('no\n');
    });

    it('commands start in the home directory, which ~ means', async () => {
      expect(await host.home()).toBe(place.home);
      expect((await host.exec(['pwd'])).stdout).toBe(`${place.home}\n`);
      await host.writeFile('~/in-home', 'x');
      expect(await readFile(join(place.home, 'in-home'), 'utf8')).toBe('x');
    });

    it('a program that is not there is 127, one that a signal ended 128 and more, and neither throws', async () => {
      expect((await host.exec(['nonesuch-program'])).code).toBe(127);
      expect((await host.exec(['sh', '-c', 'kill -KILL $$'])).code).toBe(137);
    });

    it('a folder that is not there is an error with its name', async () => {
      await expect(host.exec(['true'], { cwd: '/non existent' })).rejects.toMatchObject({
        code: 'file_not_found',
        message: expect.stringContaining('/non existent'),
      });
    });

    it('no byte of a large output is lost, also for a slow reader', async () => {
      const bytes = 8 * 2 ** 20;
      const program = await host.spawn(['sh', '-c', `head -c ${bytes} /dev/zero | tr '\\0' 'x'; echo end`]);
      program.stdin.end();
      const hash = createHash('sha256');
      let count = 0;
      for await (const data of program.stdout) {
        if (count === 0) await new Promise((resolve) => setTimeout(resolve, 1500));
        hash.update(data);
        count += data.length;
      }
      expect(count).toBe(bytes + 4);
      expect(hash.digest('hex')).toBe(createHash('sha256').update('x'.repeat(bytes)).update('end\n').digest('hex'));
      expect(await program.exit).toBe(0);
    });

    it('binary data goes through a program and back unharmed', async () => {
      const data = randomBytes(3 * 2 ** 20);
      const program = await host.spawn(['cat']);
      program.stdin.end(data);
      const parts: Buffer[] = [];
      for await (const part of program.stdout) parts.push(part);
      expect(Buffer.concat(parts).equals(data)).toBe(true);
      expect(await program.exit).toBe(0);
    });

    it('a program that reads nothing of its input ends as it likes', async () => {
      const result = await host.exec(['sh', '-c', 'exit 4'], { input: 'x'.repeat(2 ** 20) });
      expect(result.code).toBe(4);
    });

    it('a program that leaves another one behind does not keep us waiting', async () => {
      const result = await host.exec(['sh', '-c', 'sleep 60 & echo $!'], { timeoutMs: 20_000 });
      expect(result.code).toBe(0);
      process.kill(Number(result.stdout));
    });

    it('cancelling ends the program and what it started', async () => {
      const stop = new AbortController();
      let seen = '';
      const running = host.exec(['sh', '-c', 'sleep 600 & echo $$ $!; wait'], {
        signal: stop.signal,
        onOutput: (text) => {
          seen += text;
        },
      });
      running.catch(() => {});
      await expect.poll(() => seen).toMatch(/^\d+ \d+\n/);
      const pids = seen.trim().split(' ').map(Number);
      expect(pids.map(alive)).toEqual([true, true]);
      stop.abort();
      await expect(running).rejects.toMatchObject({ code: 'cancelled' });
      await expect.poll(() => pids.map(alive), { timeout: 10_000 }).toEqual([false, false]);
    });

    it('one that does not want to end is ended all the same', async () => {
      const program = await host.spawn(['sh', '-c', 'trap "" TERM; echo $$; while :; do sleep 1; done']);
      const [first] = (await program.stdout.take(1).toArray()) as Buffer[];
      const pid = Number(String(first));
      expect(alive(pid)).toBe(true);
      program.kill();
      expect(await program.exit).toBe(137);
      expect(alive(pid)).toBe(false);
    });

    it('a time limit ends the program, and says which and when', async () => {
      let pid = 0;
      const running = host.exec(['sh', '-c', 'echo $$; exec sleep 600'], {
        timeoutMs: 1500,
        onOutput: (text) => {
          pid = Number(text);
        },
      });
      await expect(running).rejects.toMatchObject({ code: 'timed_out', message: expect.stringContaining('sh') });
      await expect.poll(() => pid > 0 && alive(pid), { timeout: 10_000 }).toBe(false);
    });

    it('what is cancelled before it begins does not begin', async () => {
      const signal = AbortSignal.abort();
      await expect(host.exec(['touch', join(place.home, 'began')], { signal })).rejects.toMatchObject({
        code: 'cancelled',
      });
      expect(existsSync(join(place.home, 'began'))).toBe(false);
    });

    it('a file is written whole or not at all, with its folder and its mode, and nothing is left beside it', async () => {
      await host.writeFile('~/deep/down/secret', 'first', { mode: 0o600 });
      await host.writeFile('~/deep/down/secret', new Uint8Array([1, 2, 255]), { mode: 0o600 });
      const path = join(place.home, 'deep/down/secret');
      expect([...(await readFile(path))]).toEqual([1, 2, 255]);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(await readdir(join(place.home, 'deep/down'))).toEqual(['secret']);
      expect([...(await host.readFile('~/deep/down/secret'))]).toEqual([1, 2, 255]);
    });

    it('files say what they are, and nothing is nothing', async () => {
      await writeFile(join(place.home, 'five'), '12345');
      const before = await stat(join(place.home, 'five'));
      const found = (await host.stat('~/five')) as FileStat;
      expect(found).toMatchObject({ kind: 'file', bytes: 5 });
      expect(Math.abs(found.modified - before.mtimeMs)).toBeLessThan(1000);
      expect(await host.stat('~')).toMatchObject({ kind: 'directory' });
      expect(await host.stat('/dev/null')).toMatchObject({ kind: 'other' });
      expect(await host.stat('~/nothing')).toBeUndefined();
      expect(await host.stat('~/five/below')).toBeUndefined();
    });

    it('reading what is not there names it', async () => {
      await expect(host.readFile('~/nothing')).rejects.toMatchObject({ code: 'file_not_found' });
      await expect(host.download('~/nothing', join(place.home, 'x'))).rejects.toMatchObject({ code: 'file_not_found' });
      await expect(host.upload(join(place.home, 'nothing'), '~/x')).rejects.toMatchObject({ code: 'file_not_found' });
    });

    it('a large file is read whole, and one that does not say its size too', async () => {
      const data = randomBytes(5 * 2 ** 20 + 7);
      await writeFile(join(place.home, 'large'), data);
      expect(Buffer.from(await host.readFile('~/large')).equals(data)).toBe(true);
      if (existsSync('/proc/version')) {
        expect(Buffer.from(await host.readFile('/proc/version'))).toEqual(await readFile('/proc/version'));
      }
    });

    it('files go there and back with their bytes, also empty ones, and say how far they are', async () => {
      const data = randomBytes(6 * 2 ** 20 + 13);
      const source = join(place.home, 'source');
      await writeFile(source, data);
      for (const [way, run] of [
        ['up', (onProgress: (bytes: number, total: number) => void) => host.upload(source, '~/new/up', { onProgress })],
        [
          'down',
          (onProgress: (bytes: number, total: number) => void) =>
            host.download('~/source', join(place.home, 'new/down'), { onProgress }),
        ],
      ] as const) {
        const seen: number[] = [];
        await run((bytes, total) => {
          expect(total).toBe(data.length);
          seen.push(bytes);
        });
        expect((await readFile(join(place.home, 'new', way))).equals(data), way).toBe(true);
        expect(seen).toEqual([...seen].sort((a, b) => a - b));
        expect([seen[0], seen.at(-1)]).toEqual([0, data.length]);
      }
      await writeFile(join(place.home, 'empty'), '');
      await host.upload(join(place.home, 'empty'), '~/new/up');
      expect((await stat(join(place.home, 'new/up'))).size).toBe(0);
      await host.download('~/empty', join(place.home, 'new/down'));
      expect((await stat(join(place.home, 'new/down'))).size).toBe(0);
    });

    it('a transfer goes on behind what is there, and mends a target that is longer than its source', async () => {
      const data = randomBytes(4 * 2 ** 20);
      const [whole, there, back] = ['whole', 'there', 'back'].map((name) => join(place.home, name)) as [
        string,
        string,
        string,
      ];
      await writeFile(whole, data);
      const half = 3 * 2 ** 20;
      for (const tail of [0, data.length]) {
        await writeFile(there, Buffer.concat([data.subarray(0, half), randomBytes(tail)]));
        await writeFile(back, Buffer.concat([data.subarray(0, half), randomBytes(tail)]));
        const firsts: number[] = [];
        await host.upload(whole, '~/there', { from: half, onProgress: (bytes) => firsts.push(bytes) });
        await host.download('~/whole', back, { from: half, onProgress: (bytes) => firsts.push(bytes) });
        expect((await readFile(there)).equals(data)).toBe(true);
        expect((await readFile(back)).equals(data)).toBe(true);
        expect(Math.min(...firsts)).toBe(half);
      }
      // More was promised than is there
      await writeFile(there, data.subarray(0, 1000));
      await host.upload(whole, '~/there', { from: half });
      expect((await readFile(there)).equals(data)).toBe(true);
    });

    it('a cancelled transfer stops, and what it sent stays to be gone on with', async () => {
      const data = randomBytes(24 * 2 ** 20);
      await writeFile(join(place.home, 'big'), data);
      for (const way of ['upload', 'download'] as const) {
        const stop = new AbortController();
        const onProgress = (bytes: number) => bytes > 2 ** 20 && stop.abort();
        const [from, to] = way === 'upload' ? [join(place.home, 'big'), '~/cut'] : ['~/big', join(place.home, 'cut')];
        await expect(host[way](from, to, { signal: stop.signal, onProgress })).rejects.toMatchObject({
          code: 'cancelled',
        });
        const { size } = await stat(join(place.home, 'cut'));
        expect(size).toBeGreaterThan(2 ** 19);
        await host[way](from, to, { from: size });
        expect((await readFile(join(place.home, 'cut'))).equals(data)).toBe(true);
        await rm(join(place.home, 'cut'));
      }
    });

    it.skipIf(disk === undefined)(
      `a full disk is said to be full${disk === undefined ? ' (needs the right to mount)' : ''}`,
      async () => {
        const data = join(place.home, 'much');
        await writeFile(data, randomBytes(2 * 2 ** 20));
        const full = { code: 'disk_full', message: expect.stringContaining(disk as string) };
        await expect(host.upload(data, `${disk}/much`)).rejects.toMatchObject(full);
        await expect(host.writeFile(`${disk}/more`, randomBytes(2 * 2 ** 20))).rejects.toMatchObject(full);
        // What could not be written whole is not there at all
        expect(await readdir(disk as string)).toEqual(['much']);
        await rm(join(disk as string, 'much'));
      },
    );

    it('a watched file is reported when it comes, changes and goes', async () => {
      const seen: (number | undefined)[] = [];
      const path = join(place.home, 'watched');
      await host.connect();
      const watch = host.watch('~/watched', (found) => seen.push(found?.bytes));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await writeFile(path, '1');
      await expect.poll(() => seen, { timeout: 10_000 }).toEqual([1]);
      await writeFile(path, '22');
      await expect.poll(() => seen, { timeout: 10_000 }).toEqual([1, 2]);
      await rm(path);
      await expect.poll(() => seen, { timeout: 10_000 }).toEqual([1, 2, undefined]);
      watch.dispose();
    });
  });
});
