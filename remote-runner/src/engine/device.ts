/** The one place where it is decided what computes, and why. */
import { cpus } from 'node:os';
import { TuneyardError } from '@protocol/errors';
import { missingCudaLibraries, nvidiaGpus, PROVIDER_LIBRARY, tryProvider } from './cuda';

export interface Device {
  provider: 'cpu' | 'cuda';
  deviceId?: number;
  /** "CPU (AMD EPYC 7B13, 2 threads)", "CUDA:0 (NVIDIA L4)". */
  label: string;
  /** Why this one: "CPU: libcublas.so.12 not found". */
  reason: string;
}

const chosen = new Map<string, Promise<Device>>();

/**
 * Chooses the device; a GPU only after something was really computed on it. Asked again in the same process, the answer
 * is the same.
 *
 * @param requested a recipe's `device`: `auto`, `cpu`, `cuda` or `cuda:N`
 * @throws TuneyardError `device_unavailable` where a GPU is asked for by name and does not work
 */
export function chooseDevice(requested: string): Promise<Device> {
  let device = chosen.get(requested);
  if (!device) {
    device = choose(requested);
    chosen.set(requested, device);
  }
  return device;
}

async function choose(requested: string): Promise<Device> {
  if (requested === 'cpu') return cpu('CPU: asked for by "device"');
  const deviceId = Number(requested.match(/^cuda:(\d+)$/)?.[1] ?? 0);
  const problem = await cudaProblem(deviceId);
  if (problem === undefined) {
    const label = cudaLabel(deviceId);
    return { provider: 'cuda', deviceId, label, reason: `${label}: it works here` };
  }
  if (requested === 'auto') return cpu(`CPU: ${problem}`);
  throw new TuneyardError(
    'device_unavailable',
    `The recipe asks for device "${requested}", which does not work here: ${problem}. Set "device" to "auto" or "cpu", or see \`tuneyard doctor\`.`,
    { data: { device: requested, problem } },
  );
}

function cpu(reason: string): Device {
  return { provider: 'cpu', label: cpuLabel(), reason };
}

/** Why a GPU cannot be used, in a few words; nothing where it can. */
async function cudaProblem(deviceId: number): Promise<string | undefined> {
  const [missing] = missingCudaLibraries();
  if (missing === PROVIDER_LIBRARY) return `${missing} not found (onnxruntime-node was installed without CUDA)`;
  if (missing !== undefined) return `${missing} not found`;
  return tryProvider({ name: 'cuda', deviceId });
}

function cudaLabel(deviceId: number): string {
  const gpus = nvidiaGpus();
  // CUDA may number the GPUs otherwise than the driver lists them; where all are alike that does not matter.
  return gpus.length > 0 && new Set(gpus).size === 1 ? `CUDA:${deviceId} (${gpus[0]})` : `CUDA:${deviceId}`;
}

export function cpuLabel(): string {
  const all = cpus();
  const model = all[0]?.model
    .replaceAll(/\((R|TM)\)|CPU|@.*$/gi, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return `CPU (${model ? `${model}, ` : ''}${all.length} ${all.length === 1 ? 'thread' : 'threads'})`;
}
