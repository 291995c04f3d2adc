/** What the machine has: Node, processors, memory, disk. */
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import type { Check } from '@protocol/runner';
import { formatBytes, freeDiskBytes, requireDiskSpace } from '../../hub/diskSpace';
import { runsFolder } from '../../runs/runDir';

const OLDEST_NODE = 20;
/** What a small model needs; a large one is `estimate`'s business. */
const LITTLE_MEMORY = 2e9;
const LITTLE_DISK = 5e9;

export async function* machineChecks(): AsyncGenerator<Check> {
  const [major = 0] = process.versions.node.split('.').map(Number);
  yield {
    name: 'Node',
    status: major >= OLDEST_NODE ? 'ok' : 'failed',
    detail: `${process.version}, ${process.platform} ${process.arch}`,
    ...(major < OLDEST_NODE && { remedy: `Install Node ${OLDEST_NODE} or newer.` }),
  };
  yield {
    name: 'Processor',
    status: 'ok',
    detail: `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? 'of unknown make'}`,
  };
  yield memory();
  yield await disk();
}

function memory(): Check {
  // In a container the limit counts, not the machine.
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(process.availableMemory?.() ?? freemem(), total);
  const little = free < LITTLE_MEMORY;
  return {
    name: 'Memory',
    status: little ? 'warning' : 'ok',
    detail: `${formatBytes(free)} of ${formatBytes(total)} free`,
    ...(little && {
      remedy: 'Close other programs, or train a small model; "tuneyard estimate" tells what a recipe needs.',
    }),
  };
}

async function disk(): Promise<Check> {
  const name = 'Disk';
  const folder = runsFolder();
  try {
    await requireDiskSpace(folder, 0, 'a run');
    const free = await freeDiskBytes(folder);
    const little = free < LITTLE_DISK;
    return {
      name,
      status: little ? 'warning' : 'ok',
      detail: `${formatBytes(free)} free for runs in ${folder}`,
      ...(little && { remedy: 'Checkpoints are large: free some space, or set TUNEYARD_HOME to another disk.' }),
    };
  } catch (error) {
    return {
      name,
      status: 'failed',
      detail: `no run can be written: ${error instanceof Error ? error.message : String(error)}`,
      remedy: 'Or set TUNEYARD_HOME to another folder.',
    };
  }
}
