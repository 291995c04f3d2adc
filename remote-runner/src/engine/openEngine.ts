import { ops } from '../ops/index';
import { createEngine } from './createEngine';
import { chooseDevice } from './device';
import type { Engine, EngineOptions } from './engine';

/**
 * The engine for a recipe's or a command's `device`.
 * @param device `auto`, `cpu`, `cuda` or `cuda:N`
 * @param options threads inside an op, and the arithmetic
 * @throws TuneyardError `device_unavailable` where a device was asked for that is not there
 */
export async function openEngine(
  device: string,
  options: Pick<EngineOptions, 'threads' | 'tf32' | 'memoryApart' | 'record'> = {},
): Promise<Engine> {
  const { provider, deviceId = 0, label } = await chooseDevice(device);
  return createEngine(ops, {
    device: provider === 'cuda' ? { provider, deviceId } : { provider },
    label,
    ...options,
  });
}
