/** A host that has nothing and reaches nothing, over a real sshd: Node, ONNX Runtime and the runner come from here. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '@host/hosts/host';
import { LocalHost } from '@host/hosts/local';
import { type Bundle, readBundle } from '@host/runner/bundle';
import { installRunner } from '@host/runner/install';
import { lookAtHost } from '@host/runner/look';
import { NODE_VERSION } from '@host/runner/nodeRuntime';
import { startServe } from '@host/runner/serveProcess';
import { engineName, packageFile } from '@runner/setup/onnxRuntime';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Mirror, startMirror } from '../support/host/mirror';
import { PACKAGES, publishedMissing, publishedPackage } from '../support/host/published';
import { buildRunner } from '../support/runner';
import { type ChaosProxy, startChaosProxy } from '../support/ssh/chaosProxy';
import { hostOf } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';

const runnerFolder = fileURLToPath(new URL('../../remote-runner', import.meta.url));
const missing = sshdMissing ?? publishedMissing;
const isCudaPlatform = process.platform === 'linux' && process.arch === 'x64';
const NUPKG = `microsoft.ml.onnxruntime.gpu.linux.${PACKAGES[0]!.version}.nupkg`;
const CUDA = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];
const LIBRARIES = ['libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12', 'libcurand.so.10', 'libcufft.so.11'];
/** All that the bare host has. A Node at another usual place would be found there. */
const TOOLS =
  'sh awk basename cat chmod cut date df dirname find grep gzip head ln ls mkdir mv printf ps rm sed sha256sum sort stat tail tar touch tr uname';
/** Our servers are on loopback, which every host has: for the host's Node there is no way to them. */
const OFFLINE = `require('net').Socket.prototype.connect = function () {
  return this.destroy(Object.assign(new Error('connect ENETUNREACH'), { code: 'ENETUNREACH' }));
};`;

describe.skipIf(missing)(`a host without Node and network${missing ? ` (${missing})` : ''}`, () => {
  let sshd: Sshd;
  let proxy: ChaosProxy;
  let mirror: Mirror;
  let served: string;
  /** What the host has: programs, and libraries that its loader looks for. */
  let machine: string;
  let bare: string;
  let libraries: string;
  let cache: string;
  let host: Host & AsyncDisposable;
  let bundle: Bundle;
  /** The next installation's log. */
  let said: string[] = [];

  beforeAll(async () => {
    await buildRunner();
    sshd = await startSshdWith();
    served = await mkdtemp(join(sshd.dir, 'served-'));
    cache = join(sshd.dir, 'cache');
    mirror = await startMirror(served);
    // Addressed by the name's second part, as registries do.
    for (const each of PACKAGES)
      await symlink(publishedPackage(each), join(served, packageFile(each).replace('koromix-', '')));
    proxy = await startChaosProxy(sshd.port);
    host = hostOf(sshd.sshConfig('bare', [`Port ${proxy.port}`, 'StrictHostKeyChecking no']), { dir: sshd.dir });
    bundle = await readBundle(runnerFolder);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
    await proxy?.dispose();
    mirror?.close();
    await sshd?.dispose();
    await rm(machine, { recursive: true, force: true });
  });

  async function startSshdWith(): Promise<Sshd> {
    machine = await mkdtemp(join(tmpdir(), 'tuneyard-bare-'));
    bare = join(machine, 'bin');
    libraries = join(machine, 'lib');
    for (const folder of [bare, libraries]) await mkdir(folder);
    for (const tool of TOOLS.split(' ')) {
      const path = [`/usr/bin/${tool}`, `/bin/${tool}`].find((each) => existsSync(each));
      await symlink(path!, join(bare, tool));
    }
    const offline = join(machine, 'offline.cjs');
    await writeFile(offline, OFFLINE);
    const env = { PATH: bare, SHELL: '/none', LD_LIBRARY_PATH: libraries, NODE_OPTIONS: `--require=${offline}` };
    return startSshd({ env });
  }

  const install = async (onto: Host = host, stages: string[] = []) => {
    said = [];
    const settings = { nodeMirror: mirror.address, npmRegistry: mirror.address, nuget: mirror.address };
    const onProgress = (stage: string) => void (stages.at(-1) === stage || stages.push(stage));
    const log = (text: string) => void said.push(text);
    return installRunner(onto, bundle, { settings, runnerFolder, cache, owner: 'this window', onProgress, log });
  };
  const native = (engine: string) =>
    readdir(
      join(
        sshd.home,
        '.tuneyard/engine',
        engine,
        'node_modules/onnxruntime-node/bin/napi-v6',
        process.platform,
        process.arch,
      ),
    );

  it('gets everything from here, and only what is for it, although the connection breaks on the way', async () => {
    expect(await lookAtHost(host, 'none')).toMatchObject({ nodes: [], tools: [], driver: undefined, ready: undefined });
    const nodeBytes = (await stat(join(served, `node-v${NODE_VERSION}-${process.platform}-${process.arch}.tar.gz`)))
      .size;
    proxy.cutAfter(nodeBytes / 2, 'up');
    await expect(install()).rejects.toMatchObject({ code: 'connection_lost' });

    const before = proxy.passed.up;
    const stages: string[] = [];
    const runner = await install(host, stages);
    expect(stages).toEqual([
      'Looking at the machine',
      `Installing Node ${NODE_VERSION}`,
      'Installing the runner',
      'Installing ONNX Runtime',
      'Checking the installation',
    ]);
    const packed = (await stat(join(cache, `${engineName('cpu')}-${process.platform}-${process.arch}.tar.gz`))).size;
    expect(packed).toBeLessThan((await stat(publishedPackage(PACKAGES[0]!))).size / 2);
    const ours = bundle.files.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(proxy.passed.up - before).toBeLessThan(nodeBytes * 0.7 + (packed + ours) * 1.1);
    expect(runner.node.startsWith(join(sshd.home, '.tuneyard/node'))).toBe(true);
    const live = await startServe(host, runner, { log: () => {} });
    expect((await live.peer.request('host/status', {})).device).toBe('cpu');
    live.dispose();
    await live.closed;
    expect(await readdir(join(sshd.home, '.tuneyard/node'))).toHaveLength(1);
    expect(await readdir(join(sshd.home, '.tuneyard/engine'))).toEqual([engineName('cpu')]);
  });

  it('is ready after one look the next time: nothing is sent, nothing is fetched', async () => {
    const [sent, asked] = [proxy.passed.up, mirror.asked.length];
    const stages: string[] = [];
    await install(host, stages);
    expect(stages).toEqual(['Looking at the machine']);
    expect(proxy.passed.up - sent).toBeLessThan(20e3);
    expect(mirror.asked.length).toBe(asked);
  });

  it.skipIf(!isCudaPlatform)('is told what keeps its GPU idle, and uses it once that has come', async () => {
    await writeFile(join(bare, 'nvidia-smi'), '#!/bin/sh\necho 580.82.07\n', { mode: 0o755 });
    for (const name of LIBRARIES) await writeFile(join(libraries, name), '');
    await rm(join(sshd.home, '.tuneyard/runner'), { recursive: true });
    await install();
    expect(said.join('\n')).toMatch(/on the CPU: libcudnn\.so\.9 is missing\. Install/);

    await writeFile(join(libraries, 'libcudnn.so.9'), '');
    const folder = 'runtimes/linux-x64/native';
    const package_ = Object.fromEntries(CUDA.map((name) => [`${folder}/${name}`, Buffer.from(name)]));
    await writeFile(join(served, NUPKG), zipSync({ ...package_, [`${folder}/libonnxruntime.so`]: Buffer.alloc(10) }));
    await install();
    expect(await native(engineName('cuda12'))).toEqual(expect.arrayContaining([...CUDA, 'onnxruntime_binding.node']));
    const stages: string[] = [];
    await install(host, stages);
    expect(stages).toEqual(['Looking at the machine']);
  });

  it.skipIf(!isCudaPlatform)('computes on the CPU, and says so, where CUDA cannot be had', async () => {
    await rm(join(served, NUPKG));
    for (const folder of ['runner', `engine/${engineName('cuda12')}`]) {
      await rm(join(sshd.home, '.tuneyard', folder), { recursive: true });
    }
    for (const file of await readdir(cache)) if (file.includes('cuda12')) await rm(join(cache, file));
    await install();
    expect(said.join('\n')).toMatch(/on the CPU: .*cannot be had\. .*404.*tuneyard\.nugetFeed/);
    expect(await readdir(join(sshd.home, '.tuneyard/engine'))).toEqual([engineName('cpu')]);
    const stages: string[] = [];
    await install(host, stages);
    expect(stages).toEqual(['Looking at the machine']);
  });

  it('fetches ONNX Runtime itself where it can, and takes nothing that is not the published one', async () => {
    const home = await mkdtemp(join(sshd.dir, 'home-'));
    const connected = new LocalHost(home);
    const { name, version } = PACKAGES[1]!;
    const [file, kept] = [`${name}-${version}.tgz`, cache];
    cache = join(sshd.dir, 'other-cache');
    try {
      mirror.damaged = file;
      await expect(install(connected)).rejects.toMatchObject({
        code: 'transfer_failed',
        message: expect.stringMatching(/damaged: its SHA-512 is .* instead of/),
      });
      expect(await readdir(join(home, '.tuneyard/engine')).catch(() => [])).toEqual([]);
      expect(existsSync(join(cache, file))).toBe(false);

      mirror.damaged = '';
      mirror.asked.length = 0;
      await install(connected);
      expect(mirror.asked.filter((url) => url.endsWith(`/${file}`))).toHaveLength(1);
      expect(said.join('\n')).not.toContain('this machine does');
      const ready = await readFile(join(home, '.tuneyard/runner', bundle.id, 'ready'), 'utf8');
      expect(ready).toContain('provider=cpu');
    } finally {
      cache = kept;
    }
  });
});
