import type { OpRegistry } from '../ops/op';
import type { Engine, EngineOptions } from './engine';

/** Names the portable engine where the native one is not wanted: `TUNEYARD_ENGINE=portable`. */
const VARIABLE = 'TUNEYARD_ENGINE';
/** `TUNEYARD_MEMORY=apart`: see {@link EngineOptions.memoryApart}. */
const MEMORY_VARIABLE = 'TUNEYARD_MEMORY';

/** The native engine where the machine allows it, otherwise the portable one, which then says why. */
export async function createEngine(ops: OpRegistry, options: EngineOptions = {}): Promise<Engine> {
  let fallback = `${VARIABLE}=portable`;
  if (process.env[VARIABLE] !== 'portable') {
    try {
      const { NativeEngine } = await import('./native');
      const engine = new NativeEngine(ops, { memoryApart: process.env[MEMORY_VARIABLE] === 'apart', ...options });
      await engine.openMemory();
      await engine.tryAttention();
      return engine;
    } catch (error) {
      fallback = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    }
  }
  // Not before it is needed: what it loads gets in the way of the other one.
  const { NodeEngine } = await import('./node');
  return new NodeEngine(ops, { ...options, fallback });
}
