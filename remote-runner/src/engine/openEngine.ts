import { ops } from '../ops/index';
import type { Engine } from './engine';
import { NodeEngine } from './node';

/**
 * The engine for a recipe's or a command's `device`.
 * @throws TuneyardError `device_unavailable` where a device was asked for that is not there
 */
export async function openEngine(_device: string): Promise<Engine> {
  return new NodeEngine(ops);
}
