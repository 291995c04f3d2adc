/** The GPUs that people train on, and which of them a run fits on. */
import type { Estimate } from './runner';

const MIB = 2 ** 20;

/** MiB of one, as nvidia-smi shows it: a part of what is sold is the driver's. The smallest first. */
export const GPU_MIB = {
  T4: 15360,
  V100: 16160,
  L4: 23034,
  'A100 40 GB': 40960,
  H100: 81559,
  'A100 80 GB': 81920,
  H200: 143771,
} as const;

/** What CUDA itself takes of a GPU before anything is computed. */
const CUDA_BYTES = 600e6;

type Needs = Pick<Estimate, 'peak_bytes' | 'process_bytes' | 'offloaded_bytes'>;

/** Bytes on a GPU: the process itself takes none of its memory. */
export const gpuBytes = ({ peak_bytes, process_bytes, offloaded_bytes = 0 }: Needs): number =>
  peak_bytes - process_bytes - offloaded_bytes;

/** A switch of the recipe that would make it fit on more GPUs. */
interface Offload {
  readonly name: 'offload_optimizer' | 'offload_param';
  readonly bytes: number;
  readonly gpus: readonly string[];
}

/** The switches by which more GPUs have room for it, each for more than the one before; the cheaper one first. */
export function offloads(
  estimate: Needs & Pick<Estimate, 'optimizer_bytes' | 'offloadable_bytes'>,
): readonly Offload[] {
  const { optimizer_bytes, offloadable_bytes = 0, offloaded_bytes = 0 } = estimate;
  let most = gpusThatFit(estimate).length;
  const ways = [
    ['offload_optimizer', optimizer_bytes],
    ['offload_param', offloadable_bytes],
  ] as const;
  return ways.flatMap(([name, offloaded]) => {
    if (offloaded <= offloaded_bytes) return [];
    const needs = { ...estimate, offloaded_bytes: offloaded };
    const gpus = gpusThatFit(needs);
    if (gpus.length <= most) return [];
    most = gpus.length;
    return [{ name, bytes: gpuBytes(needs), gpus }];
  });
}

/** Names of the GPUs that one such run fits on, the smallest first. */
export function gpusThatFit(estimate: Needs): string[] {
  const needed = gpuBytes(estimate) + CUDA_BYTES;
  return Object.entries(GPU_MIB).flatMap(([name, mib]) => (needed <= mib * MIB ? [name] : []));
}
