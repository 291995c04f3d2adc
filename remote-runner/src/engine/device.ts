export interface Device {
  provider: 'cpu' | 'cuda';
  /** Number of the GPU; only with `cuda`. */
  deviceId?: number;
  /** "CPU", "CUDA:0 (NVIDIA L4)". */
  label: string;
  /** "CPU: libcublas.so.12 not found". */
  reason: string;
}
/**
 * @param requested a recipe's `device`: `auto`, `cpu`, `cuda` or `cuda:N`
 * @throws TuneyardError `device_unavailable`
 */
export async function chooseDevice(_requested: string): Promise<Device> {
  return { provider: 'cpu', label: 'CPU', reason: 'CPU: GPUs are not looked for yet' };
}
