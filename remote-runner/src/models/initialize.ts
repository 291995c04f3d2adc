/** Fresh weights, as transformers initialises a model of this configuration before training. */
import { Random } from '../data/random';
import { Arena, layoutArena, type ParameterSet } from '../train/arena';
import type { CausalLm, ParameterSpec } from './causalLm';

/** The same seed gives the same weights. */
export function initializeParameters(model: CausalLm, seed: number): Arena {
  const arena = new Arena(layoutArena(model.parameters));
  initialize(arena, model.parameters, seed);
  return arena;
}

/** Fills these parameters of an arena, but for those that come of others: see {@link initializeLengths}. */
export function initialize(arena: Arena, parameters: readonly ParameterSpec[], seed: number): void {
  parameters.forEach(({ name, init }, at) => {
    const into = arena.slice(name);
    const random = new Random(seed, at);
    if (init.kind === 'normal') fillNormal(into, init.std, random);
    else if (init.kind === 'uniform') fillUniform(into, init.limit, random);
    else if (init.kind !== 'lengths') into.fill(init.kind === 'ones' ? 1 : 0);
  });
}

/** Fills those that are lengths of other parameters' rows, once these are there. */
export function initializeLengths(all: ParameterSet, parameters: readonly ParameterSpec[]): void {
  const specs = new Map(parameters.map((spec) => [spec.name, spec]));
  for (const { name, init } of parameters) {
    if (init.kind !== 'lengths') continue;
    const isLinear = specs.get(init.of)?.matrix !== 'conv1d';
    const weight = all.slice(init.of);
    const into = all.slice(name);
    const inner = weight.length / into.length;
    for (let row = 0; row < into.length; row++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += weight[isLinear ? row * inner + i : i * into.length + row]! ** 2;
      into[row] = Math.sqrt(sum);
    }
  }
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
