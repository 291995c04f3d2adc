/** The runner put on a machine with a home of its own, by the product's code, from servers on loopback. */
import { existsSync } from 'node:fs';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '@host/hosts/host';
import { LocalHost } from '@host/hosts/local';
import { type Bundle, readBundle } from '@host/runner/bundle';
import { chooseEngine } from '@host/runner/engineChoice';
import { installRunner } from '@host/runner/install';
import type { InstallContext } from '@host/runner/installContext';
import { type HostFacts, lookAtHost } from '@host/runner/look';
import { installNode, NODE_VERSION, suitableNode } from '@host/runner/nodeRuntime';
import { shell } from '@host/runner/remoteDir';
import { startServe } from '@host/runner/serveProcess';
import { enginePackages } from '@runner/setup/onnxRuntime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { putEngine } from '../../support/host/machine';
import { type Mirror, NODE_ARCHIVE, startMirror } from '../../support/host/mirror';
import { buildRunner } from '../../support/runner';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let dir: string;
let mirror: Mirror;
let bundle: Bundle;
let owners = 0;

beforeAll(async () => {
  await buildRunner();
  dir = await mkdtemp(join(tmpdir(), 'tuneyard-install-'));
  mirror = await startMirror(dir);
  bundle = await readBundle(join(root, 'remote-runner'));
});
afterAll(async () => {
  mirror.close();
  await rm(dir, { recursive: true, force: true });
});

async function machine(): Promise<{ host: Host; home: string }> {
  const home = await mkdtemp(join(dir, 'home-'));
  return { host: new LocalHost(home), home };
}

function context(more: Partial<InstallContext> = {}): InstallContext & { stages: string[] } {
  const stages: string[] = [];
  return {
    settings: {
      nodeMirror: `${mirror.address}/dist`,
      npmRegistry: `${mirror.address}/npm`,
      nuget: `${mirror.address}/nuget`,
    },
    runnerFolder: join(root, 'remote-runner'),
    cache: join(dir, 'cache'),
    owner: String(++owners),
    onProgress: (stage) => stages.push(stage),
    log: () => {},
    stages,
    ...more,
  };
}

describe('the runner on a new machine', () => {
  it('is there once, whole, and answers; the second time costs one look', async () => {
    const { host, home } = await machine();
    await putEngine(home);
    const first = context();
    const runner = await installRunner(host, bundle, first);
    expect(runner.program).toBe(join(home, '.tuneyard/runner', bundle.id, 'bin/tuneyard.mjs'));
    expect(first.stages).toContain('Installing the runner');
    const live = await startServe(host, runner, { log: () => {} });
    expect((await live.peer.request('host/status', {})).platform).toBe(process.platform);
    live.dispose();
    await live.closed;

    const again = context();
    expect(await installRunner(host, bundle, again)).toEqual(runner);
    expect(again.stages).toEqual(['Looking at the machine']);
    expect(await readdir(join(home, '.tuneyard/runner'))).toEqual([bundle.id]);
    expect(existsSync(join(home, '.tuneyard/install.lock'))).toBe(false);
  });

  it('comes once when two windows put it there at the same time', async () => {
    const { host, home } = await machine();
    await putEngine(home);
    const windows = [context(), context()];
    const [one, two] = await Promise.all(windows.map((each) => installRunner(host, bundle, each)));
    expect(one).toEqual(two);
    expect(windows.filter(({ stages }) => stages.includes('Installing the runner'))).toHaveLength(1);
    expect(await readdir(join(home, '.tuneyard/runner'))).toEqual([bundle.id]);
  });

  it('is not held up by a lock that a lost window left', async () => {
    const { host, home } = await machine();
    await putEngine(home);
    const lock = join(home, '.tuneyard/install.lock');
    await mkdir(lock, { recursive: true });
    await utimes(lock, new Date(Date.now() - 3600e3), new Date(Date.now() - 3600e3));
    await installRunner(host, bundle, context());
    expect(existsSync(lock)).toBe(false);
  });

  it('is another one when a byte differs, and old ones go, but for the last and those in use', async () => {
    const { host, home } = await machine();
    await putEngine(home);
    const folder = join(home, '.tuneyard/runner');
    const used = await installRunner(host, bundle, context());
    const live = await startServe(host, used, { log: () => {} });
    const copy = join(dir, 'copy');
    await cp(join(root, 'remote-runner'), copy, {
      recursive: true,
      filter: (path) => !/node_modules|\/src/.test(path),
    });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      await appendFile(join(copy, 'bin/tuneyard.mjs'), `// ${i}\n`);
      const changed = await readBundle(copy);
      ids.push(changed.id);
      await installRunner(host, changed, context());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(new Set([bundle.id, ...ids]).size).toBe(4);
    expect((await readdir(folder)).sort()).toEqual([bundle.id, ids[1], ids[2]].sort());
    live.dispose();
    await live.closed;
  });

  it('says what is wrong when what it needs cannot be had, and leaves nothing half there', async () => {
    const { host, home } = await machine();
    const failed = installRunner(host, bundle, context());
    await expect(failed).rejects.toMatchObject({ code: 'transfer_failed', message: expect.stringContaining('404') });
    expect(await readdir(join(home, '.tuneyard/runner'))).toEqual([]);
    expect(await readdir(join(home, '.tuneyard/engine')).catch(() => [])).toEqual([]);
    expect(existsSync(join(home, '.tuneyard/install.lock'))).toBe(false);
  });

  it('is not what a broken attempt left spoilt, and comes whole after it', async () => {
    const { host, home } = await machine();
    await putEngine(home);
    const left = join(home, '.tuneyard/runner', `.new-${bundle.id}-this window`, 'dist');
    await mkdir(left, { recursive: true });
    await writeFile(join(left, 'cli.mjs'), 'rubbish');
    const again = () => installRunner(host, bundle, context({ owner: 'this window' }));
    await expect(again()).rejects.toMatchObject({ message: expect.stringMatching(/cli\.mjs arrived damaged/) });
    expect((await again()).program).toContain(bundle.id);
  });

  it('says that the disk is full, where it is', async () => {
    const { host } = await machine();
    const full = shell(host, 'cat /etc/passwd > /dev/full', []);
    await expect(full).rejects.toMatchObject({ code: 'disk_full' });
    const crammed = { ...(await lookAtHost(host, 'none')), freeBytes: 5e6 };
    await expect(installNode(host, crammed, context())).rejects.toMatchObject({
      code: 'disk_full',
      message: expect.stringMatching(/5 MB left, and 300 MB/),
    });
  });
});

describe('a Node', () => {
  const facts = async (host: Host): Promise<HostFacts> => lookAtHost(host, 'none');

  it('that a machine has is found, and one that is too old is not taken', async () => {
    const { host } = await machine();
    const found = await facts(host);
    expect(suitableNode(found)).toBeDefined();
    expect(suitableNode({ ...found, nodes: [{ path: '/usr/bin/node', version: '18.19.0' }] })).toBeUndefined();
  });

  it('is fetched by the machine itself, checked and unpacked', async () => {
    const { host } = await machine();
    mirror.asked = [];
    const node = await installNode(host, await facts(host), context());
    expect((await host.exec([node, '-p', '6*7'])).stdout.trim()).toBe('42');
    expect(mirror.asked).toEqual([`/dist/v${NODE_VERSION}/SHASUMS256.txt`, `/dist/v${NODE_VERSION}/${NODE_ARCHIVE}`]);
    expect(suitableNode(await facts(host))).toBeDefined();
  });

  it('is sent from here where the machine can fetch nothing', async () => {
    const { host, home } = await machine();
    const node = await installNode(host, { ...(await facts(host)), tools: ['tar'] }, context());
    expect((await host.exec([node, '-p', '6*7'])).stdout.trim()).toBe('42');
    expect(await readdir(join(home, '.tuneyard/node'))).toEqual([NODE_ARCHIVE.replace('.tar.gz', '')]);
    expect((await stat(join(dir, 'cache', NODE_ARCHIVE))).size).toBeGreaterThan(1e6);
  });

  it.each([['curl', 'tar'], ['tar']])('that is not what it should be is refused (%s)', async (...tools) => {
    const { host, home } = await machine();
    mirror.damaged = NODE_ARCHIVE;
    try {
      const looked = { ...(await facts(host)), tools };
      const installing = installNode(host, looked, context({ cache: join(dir, 'other-cache') }));
      await expect(installing).rejects.toMatchObject({ message: expect.stringMatching(/damaged: its SHA-256 is/) });
      expect(
        (await readdir(join(home, '.tuneyard/node')).catch(() => [])).filter((name) => name.startsWith('node')),
      ).toEqual([]);
    } finally {
      mirror.damaged = '';
    }
  });

  it('is not promised where there is none', async () => {
    const { host } = await machine();
    const musl = { ...(await facts(host)), isMusl: true };
    await expect(installNode(host, musl, context())).rejects.toMatchObject({ code: 'platform_unsupported' });
  });
});

describe('ONNX Runtime', () => {
  it('is pinned to what this repository is tested with', async () => {
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
    const platforms = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];
    for (const { name, version, integrity } of platforms.flatMap(enginePackages)) {
      expect(packages[`node_modules/${name}`]).toMatchObject({ version, integrity });
    }
  });

  const gpu: HostFacts = {
    home: '/root',
    os: 'Linux',
    machine: 'x86_64',
    isMusl: false,
    nodes: [],
    tools: [],
    driver: '580.82.07',
    libraries: [
      'libcudart.so.12',
      'libcublas.so.12',
      'libcublasLt.so.12',
      'libcudnn.so.9',
      'libcurand.so.10',
      'libcufft.so.11',
    ],
    freeBytes: 1e12,
    ready: undefined,
  };

  it('comes with CUDA where driver and libraries fit', () => {
    expect(chooseEngine(gpu)).toEqual({ provider: 'cuda12' });
  });

  it.each<[string, Partial<HostFacts>, RegExp | undefined]>([
    ['there is no GPU', { driver: undefined }, undefined],
    ['the driver is too old', { driver: '515.43.04' }, /driver 515\.43\.04 is too old.*525/],
    [
      'a library is missing',
      { libraries: gpu.libraries.filter((name) => !name.startsWith('libcudnn')) },
      /libcudnn\.so\.9 is missing/,
    ],
    [
      'the libraries are of another CUDA',
      { libraries: ['libcudart.so.13', 'libcublas.so.13', 'libcudnn.so.9'] },
      /there is libcudart\.so\.13, libcublas\.so\.13/,
    ],
    ['the processor is another', { machine: 'aarch64' }, /x86-64 only/],
  ])('is for the CPU where %s, and says so', (_, facts, why) => {
    const { provider, obstacle } = chooseEngine({ ...gpu, ...facts });
    expect(provider).toBe('cpu');
    if (why) expect(obstacle).toMatch(why);
    else expect(obstacle).toBeUndefined();
  });
});
