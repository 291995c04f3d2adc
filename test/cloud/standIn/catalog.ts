/** What the stand-in's data centres have: a part of Google's, in Google's words. */

export const ZONES: Readonly<Record<string, readonly string[]>> = {
  'us-central1': ['us-central1-a', 'us-central1-b', 'us-central1-c'],
  'us-east1': ['us-east1-b', 'us-east1-c'],
  'us-west1': ['us-west1-a', 'us-west1-b'],
  'europe-west4': ['europe-west4-a', 'europe-west4-b', 'europe-west4-c'],
  'asia-southeast1': ['asia-southeast1-b', 'asia-southeast1-c'],
};

export interface MachineTypeInfo {
  name: string;
  cpus: number;
  memoryMb: number;
  gpu?: { type: string; count: number };
  /** Not in all zones. */
  zones?: readonly string[];
}

const GIB = 1024;
const machine = (name: string, cpus: number, gib: number, type?: string, count = 1): MachineTypeInfo => ({
  name,
  cpus,
  memoryMb: gib * GIB,
  ...(type && { gpu: { type, count } }),
});

const L4 = 'nvidia-l4';
const A100 = 'nvidia-tesla-a100';
export const MACHINE_TYPES: readonly MachineTypeInfo[] = [
  machine('e2-micro', 2, 1),
  machine('n1-standard-4', 4, 15),
  machine('n1-standard-8', 8, 30),
  machine('n1-standard-16', 16, 60),
  machine('g2-standard-4', 4, 16, L4),
  machine('g2-standard-8', 8, 32, L4),
  machine('g2-standard-12', 12, 48, L4),
  machine('g2-standard-24', 24, 96, L4, 2),
  machine('g2-standard-48', 48, 192, L4, 4),
  machine('g2-standard-96', 96, 384, L4, 8),
  { ...machine('a2-highgpu-1g', 12, 85, A100), zones: ['us-central1-a', 'us-central1-b', 'europe-west4-a'] },
  { ...machine('a2-highgpu-8g', 96, 680, A100, 8), zones: ['us-central1-a', 'europe-west4-a'] },
  { ...machine('a3-highgpu-8g', 208, 1872, 'nvidia-h100-80gb', 8), zones: ['us-central1-a', 'us-east1-b'] },
];

/** GPUs that n1 machines are given. */
export const ACCELERATORS: Readonly<Record<string, { most: number; zones: readonly string[] }>> = {
  'nvidia-tesla-t4': { most: 4, zones: ['us-central1-a', 'us-central1-b', 'us-east1-c', 'europe-west4-b'] },
  'nvidia-tesla-v100': { most: 8, zones: ['us-central1-a', 'us-west1-b'] },
};

export const DISK_TYPES = ['pd-standard', 'pd-balanced', 'pd-ssd', 'hyperdisk-balanced'];

/** As `nvidia-smi` names them, with their memory in MiB. */
export const GPU_NAMES: Readonly<Record<string, { name: string; memory: number }>> = {
  [L4]: { name: 'NVIDIA L4', memory: 23034 },
  [A100]: { name: 'NVIDIA A100-SXM4-40GB', memory: 40960 },
  'nvidia-h100-80gb': { name: 'NVIDIA H100 80GB HBM3', memory: 81559 },
  'nvidia-tesla-t4': { name: 'Tesla T4', memory: 15360 },
  'nvidia-tesla-v100': { name: 'Tesla V100-SXM2-16GB', memory: 16384 },
};

/** Names of the quotas that a GPU counts for. */
export function gpuMetric(type: string, spot: boolean): string {
  const name: Record<string, string> = {
    [L4]: 'NVIDIA_L4_GPUS',
    [A100]: 'NVIDIA_A100_GPUS',
    'nvidia-h100-80gb': 'NVIDIA_H100_GPUS',
    'nvidia-tesla-t4': 'NVIDIA_T4_GPUS',
    'nvidia-tesla-v100': 'NVIDIA_V100_GPUS',
  };
  return `${spot ? 'PREEMPTIBLE_' : ''}${name[type]}`;
}

export const IMAGE_PROJECT = 'deeplearning-platform-release';
export const IMAGES: Readonly<Record<string, string>> = {
  'common-cu129-ubuntu-2204-nvidia-580': 'common-cu129-ubuntu-2204-nvidia-580-v20261101',
};

export const regionOf = (zone: string): string => zone.replace(/-[a-z]+$/, '');
export const zonesOf = (info: MachineTypeInfo): readonly string[] => info.zones ?? Object.values(ZONES).flat();
