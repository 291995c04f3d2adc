/** Every optimizer. A new one is a file in this folder and a line here (and its name in the recipe's schema). */
import type { Recipe } from '@protocol/recipe';
import type { Engine } from '../engine/engine';
import type { ArenaLayout } from '../train/arena';
import { ArenaMemory } from '../train/arenaMemory';
import { type OffloadRecipe, updatesOnHost } from '../train/offload';
import { adafactor } from './adafactor';
import { adagrad } from './adagrad';
import { adam, adamw } from './adam';
import type { Optimizer, OptimizerContext, OptimizerDef, OptimizerRecipe } from './optimizer';
import { sgd } from './sgd';

const OPTIMIZERS: Readonly<Record<Recipe['optim'], OptimizerDef>> = { adamw, adam, sgd, adagrad, adafactor };

/**
 * An optimizer over arenas, its state zero.
 *
 * @throws TuneyardError `out_of_memory`, `engine_failed`
 */
export function createOptimizer(name: Recipe['optim'], context: OptimizerContext): Promise<Optimizer> {
  return OPTIMIZERS[name].create(context);
}

/** Whether an optimizer can update a part of the weights by itself: its state for a weight needs no other weight. */
export const isShardable = (name: Recipe['optim']): boolean => name !== 'adafactor';

/** Floats of state that an optimizer will hold, for estimates of memory and of a checkpoint's size. */
export function optimizerStateSize(name: Recipe['optim'], layout: ArenaLayout, recipe: OptimizerRecipe): number {
  return OPTIMIZERS[name].stateSize(layout, recipe);
}

/**
 * Memory for the weights, gradients and moments of a training, which kernels can pass over. Undefined where it cannot be
 * had in one piece, or the device has its own; arenas and moments then lie where they lie, and graphs do the same.
 */
export function openTrainingMemory(
  layout: ArenaLayout,
  recipe: OptimizerRecipe & OffloadRecipe & Pick<Recipe, 'optim'>,
  engine: Engine,
  /** What the optimizer updates. */
  updated: ArenaLayout = layout,
  /** Gradients that it reads, in floats. */
  gradients = layout.size,
): ArenaMemory | undefined {
  if (engine.memory && !updatesOnHost(recipe)) return undefined;
  const moments = optimizerStateSize(recipe.optim, updated, recipe);
  return ArenaMemory.open(layout.size + gradients + moments + ALIGNMENT_ROOM);
}

/** Floats. */
const ALIGNMENT_ROOM = 1024;
