/** Fresh weights, as transformers initialises a model of this configuration before training. */
import { Random } from '../data/random';
import { Arena, layoutArena } from '../train/arena';
import type { CausalLm, ParameterSpec } from './causalLm';

/** The same seed gives the same weights. */
export function initializeParameters(model: CausalLm, seed: number): Arena {
  const arena = new Arena(layoutArena(model.parameters));
  initialize(arena, model.parameters, seed);
  return arena;
}

/** Fills these parameters of an arena. */
export function initialize(arena: Arena, parameters: readonly ParameterSpec[], seed: number): void {
  parameters.forEach(({ name, init }, at) => {
    const into = arena.slice(name);
    const random = new Random(seed, at);
    if (init.kind === 'normal') fillNormal(into, init.std, random);
    else if (init.kind === 'uniform') fillUniform(into, init.limit, random);
    else into.fill(init.kind === 'ones' ? 1 : 0);
  });
}

/** Box & Muller 1958. */
function fillNormal(into: Float32Array, std: number, random: Random): void {
  for (let i = 0; i < into.length; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - random.nextFloat()));
    const angle = 2 * Math.PI * random.nextFloat();
    into[i] = radius * Math.cos(angle);
    if (i + 1 < into.length) into[i + 1] = radius * Math.sin(angle);
  }
}

function fillUniform(into: Float32Array, limit: number, random: Random): void {
  for (let i = 0; i < into.length; i++) into[i] = limit * (2 * random.nextFloat() - 1);
}
