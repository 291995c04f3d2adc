import { hashWeights } from '../hub/hash';
import type { ParameterSet } from './arena';

/**
 * The name of the weights in an arena ({@link hashWeights}), from the very memory that is computed with. A tied matrix
 * is one tensor there, so it counts once. The same model has the same name when it is loaded again.
 */
export function hashArena(arena: ParameterSet): string {
  return hashWeights(arena.tensors.map(({ name, shape }) => ({ name, shape, data: arena.slice(name) })));
}
