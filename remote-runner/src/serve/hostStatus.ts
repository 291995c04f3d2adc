/** What this machine has and how busy it is. */
import { mkdir, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, hostname, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostStatus } from '@protocol/serve';
import { readGpus } from '../engine/gpus';
import { likelyDevice } from '../engine/likelyDevice';
import { runsFolder } from '../runs/runDir';

let device: ReturnType<typeof likelyDevice> | undefined;

export async function hostStatus(): Promise<HostStatus> {
  device ??= likelyDevice('auto');
  const [gpus, disk, busy, { device: name, reason }] = await Promise.all([readGpus(), diskSpace(), cpuUse(), device]);
  // In a container the limit counts, not the machine.
  const limit = process.constrainedMemory();
  const memory = limit > 0 && limit < totalmem() ? limit : totalmem();
  return {
    hostname: hostname(),
    platform: process.platform,
    arch: process.arch,
    node: process.versions.node,
    cpus: availableParallelism(),
    cpu_model: cpus()[0]?.model.trim() ?? '',
    cpu_utilization: busy,
    memory_bytes: memory,
    free_memory_bytes: Math.min(process.availableMemory?.() ?? freemem(), memory),
    ...disk,
    ...gpus,
    device: name,
    device_reason: reason,
  };
}

async function diskSpace(): Promise<{ disk_bytes: number; free_disk_bytes: number }> {
  try {
    await mkdir(runsFolder(), { recursive: true });
    const { blocks, bavail, bsize } = await statfs(runsFolder());
    return { disk_bytes: blocks * bsize, free_disk_bytes: bavail * bsize };
  } catch {
    return { disk_bytes: 0, free_disk_bytes: 0 };
  }
}

const SAMPLE_MS = 250;
let before: { idle: number; all: number } | undefined;

/** Share of the processors' time that was used since the last call; the first call measures a quarter of a second. */
async function cpuUse(): Promise<number> {
  if (!before) {
    before = cpuTimes();
    await sleep(SAMPLE_MS);
  }
  const now = cpuTimes();
  const all = now.all - before.all;
  const use = all > 0 ? 1 - (now.idle - before.idle) / all : 0;
  before = now;
  return Math.min(1, Math.max(0, use));
}

function cpuTimes(): { idle: number; all: number } {
  const times = cpus().map((cpu) => cpu.times);
  return {
    idle: times.reduce((sum, { idle }) => sum + idle, 0),
    all: times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0),
  };
}
