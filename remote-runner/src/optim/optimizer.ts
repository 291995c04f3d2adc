/** What an optimizer is. Every optimizer is a file in this folder that exports one {@link OptimizerDef}. */
import type { Recipe } from '@protocol/recipe';
import type { Engine } from '../engine/engine';
import type { Builder } from '../graph/builder';
import type { ArenaLayout } from '../train/arena';

export interface StepOptions {
  readonly learningRate: number;
  /** Multiplies the gradient first: the clip factor, and whatever else scales it. */
  readonly gradientScale: number;
  /** Of the optimizer, from 1. */
  readonly step: number;
}

export interface Optimizer {
  /**
   * All that the optimizer remembers, zero at the start. A checkpoint saves these; written back into the same arrays,
   * training goes on bit for bit. With an engine that has memory of its own they are on the device: copy them out
   * before reading, and back in after writing.
   */
  readonly state: readonly OptimizerState[];
  /**
   * Updates the parameters, in place, from the gradients. The steps must not overlap.
   *
   * @throws TuneyardError `engine_failed`, `out_of_memory`
   */
  step(options: StepOptions): Promise<void>;
  release(): Promise<void>;
}

export interface OptimizerState {
  readonly name: string;
  readonly data: Float32Array;
}

/** What the recipe says to optimizers; only the keys of the chosen one are looked at. */
export type OptimizerRecipe = Pick<
  Recipe,
  'weight_decay' | 'adam_beta1' | 'adam_beta2' | 'adam_epsilon' | 'sgd_momentum'
>;

export interface OptimizerContext {
  readonly engine: Engine;
  readonly newBuilder: (name: string) => Builder;
  readonly layout: ArenaLayout;
  /** `[layout.size]`; updated in place. */
  readonly parameters: Float32Array;
  /** `[layout.size]`; only read. */
  readonly gradients: Float32Array;
  readonly recipe: OptimizerRecipe;
}

export type OptimizerFactory = (context: OptimizerContext) => Promise<Optimizer>;

export interface OptimizerDef {
  /** @throws TuneyardError `out_of_memory`, `engine_failed` */
  readonly create: OptimizerFactory;
  /** Floats of state, for an estimate of memory and of a checkpoint's size. */
  stateSize(layout: ArenaLayout, recipe: OptimizerRecipe): number;
}
