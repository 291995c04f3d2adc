/** How much memory a run finds on a host, and how much of it an estimate takes. */
import { gpuBytes } from '@protocol/gpuMemory';
import type { Estimate } from '@protocol/runner';
import type { HostStatus } from '@protocol/serve';

export interface HostMemory {
  /** What a person calls the place: "gpu-1", "this machine". */
  label: string;
  /** Free bytes where a run would compute. */
  bytes: number;
  kind: 'gpu' | 'cpu';
}

export function hostMemory(label: string, { device, gpus, free_memory_bytes: free }: HostStatus): HostMemory {
  const rooms = gpus.map((gpu) => gpu.memory_bytes - gpu.used_bytes);
  if (device.startsWith('cuda') && rooms.length > 0) return { label, bytes: Math.max(...rooms), kind: 'gpu' };
  return { label, bytes: free, kind: 'cpu' };
}

/** On a GPU the process itself takes none of the GPU's memory. */
export function neededBytes(estimate: Estimate, { kind }: Pick<HostMemory, 'kind'>): number {
  return kind === 'gpu' ? gpuBytes(estimate) : estimate.peak_bytes;
}
