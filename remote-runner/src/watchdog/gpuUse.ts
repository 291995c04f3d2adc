import { access, readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readGpus } from '../engine/gpus';

/** Below this nothing is computed: a desktop, a monitor. */
const BUSY_SHARE = 0.05;

/**
 * @returns what keeps the GPUs busy, or undefined where they are idle or there are none. A driver that is there and does
 *   not answer counts as busy.
 */
export async function gpuUse(): Promise<string | undefined> {
  const { gpus } = await readGpus();
  const busiest = Math.max(0, ...gpus.map(({ utilization }) => utilization));
  if (busiest >= BUSY_SHARE) return `a GPU is used to ${Math.round(busiest * 100)} %`;
  if (gpus.length > 0) return undefined;
  const hasDriver = await access('/proc/driver/nvidia/version').then(
    () => true,
    () => false,
  );
  return hasDriver ? 'nvidia-smi does not answer' : undefined;
}

/** NVIDIA's number among makers of PCI devices. */
const NVIDIA = '0x10de';
const READY_MS = 5 * 60_000;

/** Waits until the driver answers, on a machine with a GPU that has just booted. Returns in any case. */
export async function gpuIsReady(signal: AbortSignal): Promise<void> {
  const devices = await readdir('/sys/bus/pci/devices').catch(() => []);
  const makers = await Promise.all(
    devices.map((name) => readFile(`/sys/bus/pci/devices/${name}/vendor`, 'utf8').catch(() => '')),
  );
  if (!makers.some((maker) => maker.trim() === NVIDIA)) return;
  const until = performance.now() + READY_MS;
  while (!signal.aborted && performance.now() < until && (await readGpus()).gpus.length === 0) await sleep(2000);
}
