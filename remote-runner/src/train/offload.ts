/**
 * ZeRO-Offload (Ren et al. 2021): the moments stay in the host's memory and the weights are updated there, which spares a
 * GPU 8 bytes a weight with Adam. A step brings the gradients to the host and the weights back.
 */
import type { Recipe } from '@protocol/recipe';
import type { DeviceMemory } from '../engine/deviceMemory';
import type { GradientNorm } from '../optim/gradientNorm';
import type { Optimizer } from '../optim/optimizer';

/** Whether a recipe wants moments on the host, and the weights updated there; where they all are it is no other place. */
export const updatesOnHost = ({ offload_optimizer, offload_param }: OffloadRecipe): boolean =>
  offload_optimizer || offload_param;

export type OffloadRecipe = Pick<Recipe, 'offload_optimizer' | 'offload_param'>;

/** A norm and an optimizer on the host, for weights and gradients whose twins on the device are computed with. */
export function offload(
  memory: DeviceMemory,
  { gradientNorm, optimizer }: { gradientNorm: GradientNorm; optimizer: Optimizer },
  { parameters, gradients }: { parameters: Float32Array; gradients: Float32Array },
): { gradientNorm: GradientNorm; optimizer: Optimizer } {
  const measure = async () => {
    await memory.download(gradients);
    return gradientNorm();
  };
  return {
    gradientNorm: Object.assign(measure, { release: () => gradientNorm.release() }),
    optimizer: {
      state: optimizer.state,
      step: async (options) => {
        await optimizer.step(options);
        await memory.upload(parameters);
      },
      release: () => optimizer.release(),
    },
  };
}
