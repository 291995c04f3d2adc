import { NativeEngine } from '@runner/engine/native';
import { newBuilder, ops } from '@runner/ops/index';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import type { Optimizer, OptimizerRecipe } from '@runner/optim/optimizer';
import { Arena, layoutArena, type TensorSpec } from '@runner/train/arena';

export const engine = new NativeEngine(ops);
export { newBuilder };

export const RECIPE: OptimizerRecipe = {
  weight_decay: 0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  sgd_momentum: 0,
};

export interface Setup {
  optimizer: Optimizer;
  parameters: Arena;
  gradients: Arena;
}

export async function setUp(
  name: Parameters<typeof createOptimizer>[0],
  specs: readonly TensorSpec[],
  recipe: Partial<OptimizerRecipe> = {},
  /** All in one memory, over which kernels pass; else each for itself, and graphs compute. */
  together = false,
): Promise<Setup> {
  const layout = layoutArena(specs);
  const memory = together
    ? openTrainingMemory(
        layout,
        { ...RECIPE, ...recipe, optim: name, offload_optimizer: false, offload_param: false },
        engine,
      )
    : undefined;
  const parameters = new Arena(layout, memory);
  const gradients = new Arena(layout, memory);
  const optimizer = await createOptimizer(name, {
    engine,
    newBuilder,
    layout,
    parameters: parameters.data,
    gradients: gradients.data,
    recipe: { ...RECIPE, ...recipe },
  });
  return { optimizer, parameters, gradients };
}
