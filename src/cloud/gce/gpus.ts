/** The GPUs that are offered, and the n1 machines that take them. */
import { GPU_MIB } from '@protocol/gpuMemory';

interface Gpu {
  /** Google's acceleratorType. */
  type: string;
  name: string;
  /** MiB of one, as nvidia-smi shows it: a part of what is sold is the driver's. */
  memoryMib: number;
  /** The word for it in the names of quotas. */
  quota: string;
  /** Only for n1: how many go with which machine. Google allows more CPUs; this is what training needs. */
  n1?: Record<number, string>;
}

export const GPUS: readonly Gpu[] = [
  { type: 'nvidia-l4', name: 'L4', memoryMib: GPU_MIB.L4, quota: 'NVIDIA_L4' },
  { type: 'nvidia-tesla-a100', name: 'A100 40 GB', memoryMib: GPU_MIB['A100 40 GB'], quota: 'NVIDIA_A100' },
  { type: 'nvidia-a100-80gb', name: 'A100 80 GB', memoryMib: GPU_MIB['A100 80 GB'], quota: 'NVIDIA_A100_80GB' },
  { type: 'nvidia-h100-80gb', name: 'H100', memoryMib: GPU_MIB.H100, quota: 'NVIDIA_H100' },
  { type: 'nvidia-h100-mega-80gb', name: 'H100 Mega', memoryMib: GPU_MIB.H100, quota: 'NVIDIA_H100_MEGA' },
  {
    type: 'nvidia-tesla-t4',
    name: 'T4',
    memoryMib: GPU_MIB.T4,
    quota: 'NVIDIA_T4',
    n1: { 1: 'n1-standard-8', 2: 'n1-standard-16', 4: 'n1-standard-32' },
  },
  {
    type: 'nvidia-tesla-v100',
    name: 'V100',
    memoryMib: GPU_MIB.V100,
    quota: 'NVIDIA_V100',
    n1: { 1: 'n1-standard-8', 2: 'n1-standard-16', 4: 'n1-standard-32', 8: 'n1-standard-64' },
  },
];

/** Google lends these only as spot VMs. */
export const SPOT_ONLY = new Set(['a3-highgpu-1g', 'a3-highgpu-2g', 'a3-highgpu-4g']);
