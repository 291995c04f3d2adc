import { chmod, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { GpuMonitor } from '@runner/engine/gpuMonitor';
import { isProcessAlive } from '@runner/hub/processAlive';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolders } from '../hub/support';

const folder = temporaryFolders();
const monitors: GpuMonitor[] = [];

afterEach(() => {
  for (const monitor of monitors.splice(0)) monitor.stop();
  vi.unstubAllEnvs();
});

/** Stands for NVIDIA's program, which this machine may lack: says the same again and again, in its words. */
async function nvidiaSmi(...says: string[]): Promise<string> {
  const bin = await folder();
  const lines = says.map((line) => `echo '${line}'`).join('; ');
  const script = `#!/bin/sh\necho $$ > '${bin}/pid'\necho "$@" > '${bin}/asked'\nwhile :; do ${lines}; sleep 0.05; done\n`;
  await writeFile(join(bin, 'nvidia-smi'), script);
  await chmod(join(bin, 'nvidia-smi'), 0o755);
  vi.stubEnv('PATH', `${bin}${delimiter}${process.env.PATH}`);
  return bin;
}

function monitor(): GpuMonitor {
  const made = new GpuMonitor();
  monitors.push(made);
  return made;
}

describe.skipIf(process.platform === 'win32')('the use of GPUs in the log of a run', () => {
  it('is what nvidia-smi says of each, and nothing once it says no more', async () => {
    const bin = await nvidiaSmi('1, 20480, 97', '0, 512, [N/A]', 'Unable to determine the device handle', '');
    const watching = monitor();
    expect(watching.latest()).toBeUndefined();
    await vi.waitFor(() =>
      expect(watching.latest()).toEqual([
        { index: 0, used_bytes: 512 * 2 ** 20, utilization: 0 },
        { index: 1, used_bytes: 20 * 2 ** 30, utilization: 0.97 },
      ]),
    );
    expect(await readFile(join(bin, 'asked'), 'utf8')).toBe(
      '--query-gpu=index,memory.used,utilization.gpu --format=csv,noheader,nounits --loop=2\n',
    );
    expect(watching.latest(performance.now() + 60_000)).toBeUndefined();

    const pid = Number(await readFile(join(bin, 'pid'), 'utf8'));
    watching.stop();
    await vi.waitFor(() => expect(isProcessAlive(pid)).toBe(false));
  });

  it('is left out where there is no NVIDIA driver', async () => {
    vi.stubEnv('PATH', await folder());
    const watching = monitor();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(watching.latest()).toBeUndefined();
  });
});
