import { ops } from '../ops/index';
import { createEngine } from './createEngine';
import { chooseDevice } from './device';
import type { Engine } from './engine';

/**
 * The engine for a recipe's or a command's `device`.
 * @param device `auto`, `cpu`, `cuda` or `cuda:N`
 * @param threads inside an op; default: as many as there are cores
 * @throws TuneyardError `device_unavailable` where a device was asked for that is not there
 */
export async function openEngine(device: string, threads?: number): Promise<Engine> {
  const { provider, deviceId = 0, label } = await chooseDevice(device);
  return createEngine(ops, {
    device: provider === 'cuda' ? { provider, deviceId } : { provider },
    label,
    ...(threads !== undefined && { threads }),
  });
}
