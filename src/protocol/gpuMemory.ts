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

/** The same with the optimizer's moments on the host; undefined where they are there already, or no more GPUs fit then. */
export function withOffload(estimate: Needs & Pick<Estimate, 'optimizer_bytes'>): Needs | undefined {
  if (estimate.offloaded_bytes) return undefined;
  const offloaded = { ...estimate, offloaded_bytes: estimate.optimizer_bytes };
  return gpusThatFit(offloaded).length > gpusThatFit(estimate).length ? offloaded : undefined;
}

/** Names of the GPUs that one such run fits on, the smallest first. */
export function gpusThatFit(estimate: Needs): string[] {
  const needed = gpuBytes(estimate) + CUDA_BYTES;
  return Object.entries(GPU_MIB).flatMap(([name, mib]) => (needed <= mib * MIB ? [name] : []));
}
