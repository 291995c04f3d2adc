/** What a training updates its weights with. */
import type { Recipe } from '@protocol/recipe';
import type { Engine } from '../engine/engine';
import { openEngine } from '../engine/openEngine';
import { newBuilder } from '../ops/index';
import { createGradientNorm } from '../optim/gradientNorm';
import { createOptimizer } from '../optim/index';
import type { OptimizerContext } from '../optim/optimizer';
import { offload, updatesOnHost } from '../train/offload';

/** The gradient's norm and the optimizer, where the recipe wants them to compute. */
export async function openUpdates(
  recipe: Recipe,
  engine: Engine,
  threads: number | undefined,
  arenas: Pick<OptimizerContext, 'layout' | 'parameters' | 'gradients'>,
) {
  const { memory } = engine;
  const isOffloaded = updatesOnHost(recipe) && memory !== undefined;
  const where = isOffloaded ? await openHostEngine(threads) : engine;
  const context = { engine: where, newBuilder, recipe, ...arenas };
  const updates = {
    optimizer: await createOptimizer(recipe.optim, context),
    gradientNorm: await createGradientNorm(context),
  };
  return isOffloaded ? offload(memory, updates, arenas) : updates;
}

/** One that has what is in the host's memory, beside a GPU's. */
export function openHostEngine(threads?: number): Promise<Engine> {
  return openEngine('cpu', { ...(threads !== undefined && { threads }), memoryApart: false });
}
