import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingCudaLibraries, providerFolder, tryProvider } from '@runner/engine/cuda';
import { chooseDevice } from '@runner/engine/device';
import { libraryFinder, neededLibraries } from '@runner/engine/sharedLibraries';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const core = join(providerFolder(), 'libonnxruntime.so.1');

describe.runIf(process.platform === 'linux')('the libraries a binary needs', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tuneyard-libs-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('are read from the binary itself, so that CUDA 12 and 13 are both told right', () => {
    const { names } = neededLibraries(core);
    expect(names).toEqual(expect.arrayContaining(['libc.so.6', 'libm.so.6']));
    expect(names.every((name) => /^[\w+.-]+\.so(\.\d+)*$/.test(name))).toBe(true);
  });

  it('are the ones the system’s own loader lists', () => {
    const listed = execFileSync('ldd', [core], { encoding: 'utf8' });
    const find = libraryFinder([]);
    for (const name of neededLibraries(core).names.filter((name) => !name.startsWith('ld-linux'))) {
      expect(listed).toContain(name);
      expect(find(name), name).toSatisfy(existsSync);
    }
  });

  it('are looked for in the given folders before the system’s', () => {
    cpSync(core, join(dir, 'libc.so.6'));
    expect(libraryFinder([dir])('libc.so.6')).toBe(join(dir, 'libc.so.6'));
    expect(libraryFinder([dir])('libcublas.so.999')).toBeUndefined();
  });

  it('cannot be read from what is no library, which is said', () => {
    mkdirSync(join(dir, 'x'));
    writeFileSync(join(dir, 'x/lib.so'), 'no binary');
    expect(() => neededLibraries(join(dir, 'x/lib.so'))).toThrow('this is not a 64-bit Linux library');
  });
});

describe('the device', () => {
  it('is the CPU where the recipe says so', async () => {
    expect(await chooseDevice('cpu')).toMatchObject({ provider: 'cpu', reason: expect.stringContaining('asked for') });
  });

  it('is one that works, with the reason, whatever machine this is', async () => {
    const device = await chooseDevice('auto');
    const missing = missingCudaLibraries();
    if (missing.length > 0) expect(device.provider).toBe('cpu');
    if (device.provider === 'cpu' && missing[0]) expect(device.reason).toContain(`${missing[0]} not found`);
    if (device.provider === 'cuda') expect(await tryProvider({ name: 'cuda', deviceId: 0 })).toBeUndefined();
  });

  it('is refused before training where a GPU is asked for and there is none', async () => {
    const { provider } = await chooseDevice('auto');
    const asked = chooseDevice('cuda:63');
    // No machine has 64 of them.
    await expect(asked).rejects.toMatchObject({ code: 'device_unavailable', exitStatus: 2 });
    if (provider === 'cpu')
      await expect(chooseDevice('cuda')).rejects.toThrow(/"cuda", which does not work here: .+ not found/);
  });

  it('is tried with a model that ONNX Runtime computes rightly, so that a failure is the device’s', async () => {
    expect(await tryProvider('cpu')).toBeUndefined();
  });
});
