/** The runner over a real sshd and a bad network: put there, lost, found again; runs that live on; files sent once. */
import { mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readBundle } from '@host/runner/bundle';
import { installRunner } from '@host/runner/install';
import { lookAtHost } from '@host/runner/look';
import type { RunnerClients } from '@host/runner/runnerClients';
import { startServe } from '@host/runner/serveProcess';
import { localizeRecipe } from '@host/runner/sync';
import { downloadModel } from '@host/runs/exportModel';
import { RunStore } from '@host/runs/store';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { clientsFor, putEngine } from '../support/host/machine';
import { startMirror } from '../support/host/mirror';
import { buildRunner } from '../support/runner';
import { type ChaosProxy, startChaosProxy } from '../support/ssh/chaosProxy';
import { type ClientOptions, hostOf } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { tinyProject } from '../unit/cli/support';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 100 });
const KB = 1024;

describe.skipIf(sshdMissing)(`the runner over SSH${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let sshd: Sshd;
  let proxy: ChaosProxy;
  let project: string;
  const open: { dispose(): void }[] = [];

  beforeAll(async () => {
    await buildRunner();
    sshd = await startSshd();
    await putEngine(sshd.home);
    project = await mkdtemp(join(sshd.dir, 'project-'));
    await tinyProject(project);
  });
  afterAll(() => sshd?.dispose());
  beforeEach(async () => {
    proxy = await startChaosProxy(sshd.port);
  });
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) each.dispose();
    await proxy.dispose();
  });

  const box = (options: Partial<ClientOptions> = {}) =>
    hostOf(sshd.sshConfig('box', [`Port ${proxy.port}`, 'StrictHostKeyChecking no']), {
      dir: sshd.dir,
      ssh: { stallMs: 3000, retry: { times: 5, firstMs: 100 } },
      ...options,
    });
  async function window(): Promise<{ clients: RunnerClients; store: RunStore }> {
    const host = box();
    const clients = clientsFor([host], join(sshd.dir, 'cache'));
    const store = new RunStore({ runners: clients, storage: await mkdtemp(join(sshd.dir, 'storage-')), log: () => {} });
    open.push(host, clients, store);
    return { clients, store };
  }
  const recipe = (more: Record<string, unknown> = {}) => ({
    model: './model',
    dataset: './data.jsonl',
    device: 'cpu',
    max_length: 16,
    per_device_train_batch_size: 4,
    max_steps: 1_000_000,
    logging_steps: 20,
    eval_strategy: 'no',
    save_strategy: 'no',
    ...more,
  });

  it('is put there although the connection breaks on the way, and then costs one look', async () => {
    const host = box();
    open.push(host);
    const bundle = await readBundle(join(ROOT, 'remote-runner'));
    const context = () => {
      const stages: string[] = [];
      const settings = {
        nodeMirror: 'http://127.0.0.1:9',
        npmRegistry: 'http://127.0.0.1:9',
        nuget: 'http://127.0.0.1:9',
      };
      const onProgress = (stage: string) => stages.push(stage);
      const folders = { cache: join(sshd.dir, 'cache'), runnerFolder: join(ROOT, 'remote-runner') };
      return { settings, ...folders, owner: 'this window', onProgress, log: () => {}, stages };
    };
    await host.connect();
    proxy.cutAfter(900 * KB, 'up');
    await expect(installRunner(host, bundle, context())).rejects.toMatchObject({ code: 'connection_lost' });
    // What could not be cleaned up then is gone on with, in spite of the lock that may still be there
    const runner = await installRunner(host, bundle, context());
    const again = context();
    const sent = proxy.passed.up;
    expect(await installRunner(host, bundle, again)).toEqual(runner);
    expect(again.stages).toEqual(['Looking at the machine']);
    expect(proxy.passed.up - sent).toBeLessThan(20 * KB);
    const live = await startServe(host, runner, { log: () => {} });
    expect((await live.peer.request('runs/list', {})).length).toBe(0);
    live.dispose();
  });

  it('trains on when the server goes, and is found again with every event once', async () => {
    const { clients, store } = await window();
    const runner = await clients.open('ssh:box');
    const { recipe: there, sent } = await localizeRecipe(runner, recipe(), project);
    expect(Object.values(sent).sort()).toEqual([join(project, 'data.jsonl'), join(project, 'model')]);
    const { id } = await runner.peer.request('runs/start', { recipe: there, name: 'far', source: { sent } });
    const run = store.follow({ host: 'ssh:box', run: id });
    await until(() => expect(run.log.length).toBeGreaterThan(3));

    const closed = new Promise<void>((resolve) => clients.onDidClose(() => resolve()));
    await sshd.stop();
    await closed;
    const seen = run.log.length;
    await sshd.start();
    await until(() => expect(run.log.length).toBeGreaterThan(seen + 10));
    const steps = [...run.log.step.subarray(0, run.log.length)];
    expect(steps).toEqual(steps.map((_, i) => (i + 1) * 20));

    const { peer } = await clients.open('ssh:box');
    await peer.request('runs/stop', { run: id });
    await until(() => expect(run.end?.status).toBe('stopped'));
    run.dispose();

    const to = join(sshd.dir, 'exported');
    const signal = new AbortController().signal;
    const { checkpoints } = await peer.request('runs/files', { run: id });
    await downloadModel(clients.current('ssh:box')!, checkpoints.at(-1)!.path, to, { signal, report: () => {} });
    expect(await readdir(to)).toEqual(expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']));
    expect(await readdir(join(sshd.home, '.tuneyard/exports'))).toEqual([]);
    await peer.request('runs/delete', { run: id });
  });

  it('gets a file once, goes on where it broke off, and again when it changed', async () => {
    const { clients } = await window();
    const runner = await clients.open('ssh:box');
    const data = join(project, 'large.jsonl');
    await writeFile(data, `${JSON.stringify({ text: 'the mage', target: ' of the north' })}\n`.repeat(20_000));
    const send = () => localizeRecipe(runner, recipe({ dataset: { path: './large.jsonl' } }), project);
    const expectSame = async (path: string) => expect((await readFile(path)).equals(await readFile(data))).toBe(true);
    const cost = async () => {
      const before = proxy.passed.up;
      const { recipe: there } = await send();
      await expectSame((there.dataset as { path: string }).path);
      return proxy.passed.up - before;
    };
    expect(await cost()).toBeGreaterThan(8e5);
    expect(await cost()).toBeLessThan(30 * KB);
    // Large beside what a cut takes along that was on its way.
    await writeFile(data, `${JSON.stringify({ text: 'the old mage', target: ' of the south' })}\n`.repeat(600_000));
    proxy.cutAfter(20e6, 'up');
    await expect(send()).rejects.toMatchObject({ code: 'connection_lost' });
    const { peer } = await clients.open('ssh:box');
    expect(peer).toBeDefined();
    const before = proxy.passed.up;
    const { recipe: there } = await localizeRecipe(
      clients.current('ssh:box')!,
      recipe({ dataset: './large.jsonl' }),
      project,
    );
    await expectSame(there.dataset as string);
    expect(proxy.passed.up - before).toBeLessThan(20e6);
  });

  it('fails in time when the network stands still, and can be cancelled', async () => {
    const { clients } = await window();
    await clients.open('ssh:box');
    clients.current('ssh:box')!.host.disconnect();
    await until(() => expect(clients.current('ssh:box')).toBeUndefined());
    proxy.stall();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await expect(clients.open('ssh:box', { signal: controller.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('comes with its Node to a host that has none and reaches no network', async () => {
    const bare = join(sshd.dir, 'bare');
    await mkdir(bare);
    // All that the host has. A Node at another usual place would be found there.
    const tools =
      'sh awk basename cat chmod cut date df dirname find grep gzip head ln ls mkdir mv printf ps rm sed sha256sum sort stat tail tar touch tr uname xz'.split(
        ' ',
      );
    for (const tool of tools) {
      for (const folder of ['/usr/bin', '/bin']) await symlink(join(folder, tool), join(bare, tool)).catch(() => {});
    }
    const far = await startSshd({ env: { PATH: bare, SHELL: '/none' } });
    const mirror = await startMirror(await mkdtemp(join(sshd.dir, 'mirror-')));
    try {
      await putEngine(far.home);
      const host = hostOf(far.sshConfig('bare', ['StrictHostKeyChecking no']), { dir: far.dir });
      open.push(host);
      const facts = await lookAtHost(host, 'none');
      expect(facts.tools).toEqual([]);
      expect(facts.nodes).toEqual([]);
      const runner = await installRunner(host, await readBundle(join(ROOT, 'remote-runner')), {
        settings: { nodeMirror: mirror.address, npmRegistry: mirror.address, nuget: mirror.address },
        cache: join(far.dir, 'cache'),
        runnerFolder: join(ROOT, 'remote-runner'),
        owner: 'this window',
        onProgress: () => {},
        log: () => {},
      });
      expect(runner.node.startsWith(join(far.home, '.tuneyard/node'))).toBe(true);
      const live = await startServe(host, runner, { log: () => {} });
      expect((await live.peer.request('host/status', {})).platform).toBe(process.platform);
      live.dispose();
    } finally {
      mirror.close();
      await far.dispose();
    }
  });
});
