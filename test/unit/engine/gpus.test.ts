import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasNvidiaGpu } from '@runner/engine/gpus';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

let sys: string;
beforeEach(async () => {
  sys = await mkdtemp(join(tmpdir(), 'tuneyard-sys-'));
  // Whatever this machine has: its nvidia-smi is not found.
  vi.stubEnv('PATH', sys);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(sys, { recursive: true });
});

async function device(name: string, vendor: string, kind: string): Promise<void> {
  const folder = join(sys, 'bus/pci/devices', name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'vendor'), `${vendor}\n`);
  await writeFile(join(folder, 'class'), `${kind}\n`);
}

describe('a GPU of NVIDIA', () => {
  it('is seen without its driver, or the driver would not be missed', async () => {
    await device('0000:00:03.0', '0x10de', '0x030200');
    expect(await hasNvidiaGpu(sys)).toBe(true);
  });

  it('is told from another’s, and from its own sound', async () => {
    await device('0000:00:02.0', '0x8086', '0x030000');
    await device('0000:01:00.1', '0x10de', '0x040300');
    expect(await hasNvidiaGpu(sys)).toBe(false);
  });

  it('is not looked for where there is no such bus', async () => {
    expect(await hasNvidiaGpu(sys)).toBe(false);
  });
});
