/** A real sshd behind a network that drops, stalls and delays: nothing hangs, nothing is lost, nothing goes on for ever. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Host, HostState } from '@host/hosts/host';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ChaosProxy, startChaosProxy } from '../support/ssh/chaosProxy';
import { type ClientOptions, hostOf } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';

describe.skipIf(sshdMissing)(`a bad network${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let sshd: Sshd;
  let proxy: ChaosProxy;
  const MB = 2 ** 20;

  beforeAll(async () => {
    sshd = await startSshd();
    await writeFile(join(sshd.dir, 'data'), randomBytes(24 * MB));
  });
  afterAll(() => sshd?.dispose());
  beforeEach(async () => {
    proxy = await startChaosProxy(sshd.port);
    return () => proxy.dispose();
  });

  const over = (lines: string[] = [], options: Partial<ClientOptions> = {}) =>
    hostOf(sshd.sshConfig('box', [`Port ${proxy.port}`, 'StrictHostKeyChecking no', ...lines]), {
      dir: sshd.dir,
      ...options,
    });
  const states = (host: Host) => {
    const seen: HostState['kind'][] = [];
    host.onDidChangeState(({ kind }) => seen.push(kind));
    return seen;
  };
  const sha = async (path: string) => {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    return hash.digest('hex');
  };

  it.each(['upload', 'download'] as const)(
    'a broken %s: one that is cut in the middle goes on, and the file is the same',
    async (way) => {
      await using host = over();
      const [data, there, back] = [join(sshd.dir, 'data'), join(sshd.home, 'there'), join(sshd.dir, 'back')];
      const [from, to, target] = way === 'upload' ? [data, '~/there', there] : [data, back, back];
      await host.connect();
      const before = { ...proxy.passed };
      let attempts = 0;
      for (let done = 0; ; ) {
        attempts += 1;
        if (attempts < 4) proxy.cutAfter(7 * MB, way === 'upload' ? 'up' : 'down');
        try {
          await host[way](from, to, { from: done });
          break;
        } catch (error) {
          expect(error).toMatchObject({ code: 'connection_lost' });
          done = (await stat(target)).size;
          expect(done).toBeGreaterThan(0);
        }
      }
      expect(attempts).toBe(4);
      expect(await sha(target)).toBe(await sha(data));
      // What was there was not sent again, but for the last requests
      const sent = proxy.passed[way === 'upload' ? 'up' : 'down'] - before[way === 'upload' ? 'up' : 'down'];
      expect(sent).toBeLessThan(24 * MB + 3 * 5 * MB);
      await rm(target);
    },
  );

  it.each(['upload', 'download'] as const)(
    'a broken %s: one that stands still ends after its time, and goes on later',
    async (way) => {
      await using host = over([], { ssh: { stallMs: 1500, retry: { times: 3, firstMs: 50 } } });
      const [data, back] = [join(sshd.dir, 'data'), join(sshd.dir, 'back')];
      const target = way === 'upload' ? join(sshd.home, 'there') : back;
      const [from, to] = way === 'upload' ? [data, '~/there'] : [data, back];
      await host.connect();
      proxy.stallAfter(5 * MB, way === 'upload' ? 'up' : 'down');
      await expect(host[way](from, to)).rejects.toMatchObject({ code: 'timed_out' });
      // Nothing answers: the connection counts as lost, and the next call makes a new one
      expect(host.state.kind).not.toBe('connected');
      proxy.drop();
      proxy.resume();
      await host[way](from, to, { from: (await stat(target)).size });
      expect(await sha(target)).toBe(await sha(data));
      await rm(target);
    },
  );

  it('a command whose connection is cut is an error at once, its streams end, and the next one runs', async () => {
    await using host = over();
    const seen = states(host);
    const running = host.exec(['sleep', '600'], { timeoutMs: 600_000 });
    const program = await host.spawn(['cat']);
    const ended = program.stdout.toArray();
    proxy.drop();
    await expect(running).rejects.toMatchObject({ code: 'connection_lost' });
    await expect(program.exit).rejects.toMatchObject({ code: 'connection_lost' });
    expect(await ended).toEqual([]);
    expect(program.stdin.destroyed).toBe(true);
    expect((await host.exec(['echo', 'on'])).stdout).toBe('on\n');
    expect(seen).toEqual(['connecting', 'connected', 'disconnected', 'connecting', 'connected']);
  });

  it('a pulled cable is noticed by itself', async () => {
    await using host = over(['ServerAliveInterval 1', 'ServerAliveCountMax 1']);
    const running = host.exec(['sleep', '600'], { timeoutMs: 600_000 });
    running.catch(() => {});
    await expect.poll(() => host.state.kind).toBe('connected');
    proxy.stall();
    await expect(running).rejects.toMatchObject({ code: 'connection_lost' });
    expect(host.state.kind).toBe('disconnected');
  });

  it('a server that was restarted is connected to again by the next call, while what ran there goes on', async () => {
    await using host = over([], { ssh: { retry: { times: 6, firstMs: 100 } } });
    const { stdout } = await host.exec(['sh', '-c', 'nohup setsid sleep 600 >/dev/null 2>&1 & echo $!']);
    await sshd.stop();
    await expect.poll(() => host.state.kind).toBe('disconnected');
    // It tries while the server is away
    const next = host.exec(['echo', 'on']);
    next.catch(() => {});
    await expect.poll(() => host.state).toMatchObject({ kind: 'connecting' });
    await sshd.start();
    expect((await next).stdout).toBe('on\n');
    expect((await host.exec(['kill', stdout.trim()])).code).toBe(0);
  });

  it('a host that stays away is given up after some tries, and comes back when a person asks', async () => {
    await using host = over();
    await host.connect();
    const seen: HostState[] = [];
    host.onDidChangeState((state) => seen.push(state));
    proxy.refuse();
    proxy.drop();
    await expect.poll(() => host.state.kind).toBe('disconnected');
    const before = proxy.accepted;
    await expect(host.exec(['true'])).rejects.toMatchObject({ code: 'connection_failed' });
    expect(host.state).toMatchObject({ kind: 'failed', code: 'connection_failed' });
    expect(seen.filter(({ kind }) => kind === 'connecting')).toEqual(
      [1, 2, 3, 4].map((attempt) => ({ kind: 'connecting', attempt })),
    );
    expect(proxy.accepted - before).toBe(4);
    // No loop: calls say why, and try nothing
    await expect(host.stat('~')).rejects.toMatchObject({ code: 'connection_failed' });
    await expect(host.home()).rejects.toMatchObject({ code: 'connection_failed' });
    expect(proxy.accepted - before).toBe(4);

    proxy.refuse(false);
    await host.connect();
    expect((await host.exec(['echo', 'on'])).stdout).toBe('on\n');
  });

  it('a first connection that fails is an answer at once, and one that hangs has a limit', async () => {
    proxy.refuse();
    await using refusing = over();
    await expect(refusing.connect()).rejects.toMatchObject({ code: 'connection_failed' });
    expect(proxy.accepted).toBe(1);
    proxy.refuse(false);
    proxy.stall();
    await using hanging = over(['ConnectTimeout 1']);
    await expect(hanging.connect()).rejects.toMatchObject({ code: 'timed_out' });
    expect(hanging.state).toMatchObject({ kind: 'failed', code: 'timed_out' });
  });

  it('nothing listening, and no such name, are said as what they are', async () => {
    const { port } = proxy;
    await proxy.dispose();
    await using closed = over([`Port ${port}`]);
    await expect(closed.connect()).rejects.toMatchObject({
      code: 'connection_failed',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
    await using nameless = over(['HostName no-such-host.invalid']);
    await expect(nameless.connect()).rejects.toMatchObject({
      code: 'connection_failed',
      message: expect.stringContaining('no-such-host.invalid'),
    });
  });

  it('calls meanwhile join one connection; whoever cancels leaves the others theirs', async () => {
    proxy.delay(30);
    await using host = over();
    const stop = new AbortController();
    const [first, second] = [host.connect(stop.signal), host.exec(['echo', 'mine'])];
    stop.abort();
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    expect((await second).stdout).toBe('mine\n');
    expect(proxy.accepted).toBe(1);
  });

  it('connecting that nobody waits for any more is given up', async () => {
    proxy.stall();
    await using host = over();
    const stop = new AbortController();
    const connecting = host.connect(stop.signal);
    await expect.poll(() => proxy.accepted).toBe(1);
    stop.abort();
    await expect(connecting).rejects.toMatchObject({ code: 'cancelled' });
    await expect.poll(() => host.state).toEqual({ kind: 'disconnected' });
    proxy.resume();
    await host.connect();
    expect(host.state).toEqual({ kind: 'connected' });
  });

  it('who disconnects ends what is pending, and is connected again only by the next call', async () => {
    await using host = over();
    const seen = states(host);
    const running = host.exec(['sleep', '600']);
    running.catch(() => {});
    const watch = host.watch('~/x', () => {});
    await expect.poll(() => host.state.kind).toBe('connected');
    await host.disconnect();
    await expect(running).rejects.toMatchObject({ code: 'connection_lost' });
    expect(host.state).toEqual({ kind: 'disconnected' });
    // Longer than the watch waits between two looks
    await new Promise((resolve) => setTimeout(resolve, 1300));
    expect(seen).toEqual(['connecting', 'connected', 'disconnected']);
    watch.dispose();
    expect((await host.exec(['echo', 'on'])).stdout).toBe('on\n');
  });

  it('a file is written whole even where the connection is cut', async () => {
    await using host = over();
    const path = join(sshd.home, 'whole');
    await host.writeFile('~/whole', 'old');
    proxy.cutAfter(MB, 'up');
    await expect(host.writeFile('~/whole', randomBytes(4 * MB))).rejects.toMatchObject({ code: 'connection_lost' });
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  it('slow networks are only slow', async () => {
    proxy.delay(40);
    await using host = over();
    await host.connect();
    const part = join(sshd.dir, 'part');
    await writeFile(part, randomBytes(3 * MB));
    await host.upload(part, '~/part');
    expect(await sha(join(sshd.home, 'part'))).toBe(await sha(part));
  });
});
