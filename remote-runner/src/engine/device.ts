/** Where to compute: decided here and nowhere else, by trying. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TuneyardError } from '@protocol/errors';
import { newBuilder, ops } from '../ops/index';
import { createEngine } from './createEngine';
import { cudaObstacle, type Obstacle } from './cudaLibraries';
import { view } from './engine';

export interface Device {
  provider: 'cpu' | 'cuda';
  /** Number of the GPU; only with `cuda`. */
  deviceId?: number;
  /** "CPU", "CUDA:0 (NVIDIA L4)". */
  label: string;
  /** Why this one: "CPU: libcublas.so.12 not found". */
  reason: string;
}

/**
 * @param requested a recipe's `device`: `auto`, `cpu`, `cuda` (the first GPU) or `cuda:N`; also `auto:N`: that GPU, if it works
 * @throws TuneyardError `device_unavailable` where a GPU was asked for that does not work, with what to do
 */
export async function chooseDevice(requested: string): Promise<Device> {
  if (requested === 'cpu') return { provider: 'cpu', label: 'CPU', reason: 'CPU: the recipe asks for it' };
  const deviceId = Number(/^(?:cuda|auto):(\d+)$/.exec(requested)?.[1] ?? 0);
  const obstacle = await findObstacle(deviceId);
  if (!obstacle) {
    const name = await gpuName(deviceId);
    const label = `CUDA:${deviceId}${name === undefined ? '' : ` (${name})`}`;
    return { provider: 'cuda', deviceId, label, reason: `${label}: it computed a test graph` };
  }
  if (requested.startsWith('auto')) return { provider: 'cpu', label: 'CPU', reason: `CPU: ${obstacle.what}` };
  throw new TuneyardError(
    'device_unavailable',
    `the device "${requested}" cannot be used here: ${obstacle.what}. ${obstacle.remedy} Or set "device" to "auto" or "cpu".`,
    { data: { device: requested, reason: obstacle.what, remedy: obstacle.remedy } },
  );
}

const tried = new Map<number, Promise<Obstacle | undefined>>();

/** What keeps a GPU from being used. It is tried once a process: loading CUDA takes seconds. */
export function findObstacle(deviceId: number): Promise<Obstacle | undefined> {
  let result = tried.get(deviceId);
  if (!result) {
    result = tryDevice(deviceId);
    tried.set(deviceId, result);
  }
  return result;
}

async function tryDevice(deviceId: number): Promise<Obstacle | undefined> {
  return (await cudaObstacle()) ?? (await computeSomething(deviceId));
}

/** Libraries that load are no proof: drivers may be too old, GPUs too new, or numbers too high. */
async function computeSomething(deviceId: number): Promise<Obstacle | undefined> {
  const builder = newBuilder('device-test');
  const x = builder.input('x', 'float32', [2, 2]);
  builder.output('y', builder.matMul(x, x));
  const result = new Float32Array(4);
  try {
    const engine = await createEngine(ops, { device: { provider: 'cuda', deviceId } });
    const executable = await engine.compile(builder.graph);
    await executable.run({ x: view(Float32Array.of(1, 1, 0, 1), [2, 2]) }, { y: view(result, [2, 2]) });
    await executable.release();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // ONNX Runtime tells of a CUDA failure in several lines of C++.
    const what = /CUDA failure (\d+: [^;\n]+)/.exec(text)?.[1] ?? text.split('\n')[0]!.slice(0, 200);
    return { what: `GPU ${deviceId} failed (${what.trim()})`, remedy: 'See whether nvidia-smi lists it.' };
  }
  if (result.join() === '1,2,0,1') return undefined;
  return { what: `GPU ${deviceId} computes wrong results`, remedy: 'Restart the machine or use another GPU.' };
}

/** Undefined where it cannot be told for certain which GPU has the number. */
async function gpuName(deviceId: number): Promise<string | undefined> {
  const query = ['--query-gpu=name', '--format=csv,noheader'];
  const names = await promisify(execFile)('nvidia-smi', query, { timeout: 10_000 }).then(
    ({ stdout }) => stdout.trim().split('\n'),
    () => [],
  );
  // CUDA numbers the fastest first, nvidia-smi by slot.
  if (new Set(names).size === 1) return names[0];
  return process.env.CUDA_DEVICE_ORDER === 'PCI_BUS_ID' && !process.env.CUDA_VISIBLE_DEVICES
    ? names[deviceId]
    : undefined;
}
