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

/** Fills these parameters of an arena, but for those that come of others: see {@link initializeFromOthers}. */
export function initialize(arena: Arena, parameters: readonly ParameterSpec[], seed: number): void {
  parameters.forEach(({ name, init }, at) => {
    const into = arena.slice(name);
    const random = new Random(seed, at);
    if (init.kind === 'normal') fillNormal(into, init.std, random);
    else if (init.kind === 'uniform') fillUniform(into, init.limit, random);
    else if (!('of' in init)) into.fill(init.kind === 'ones' ? 1 : 0);
  });
}

/** Fills those that come of other parameters, once these are there. */
export function initializeFromOthers(all: ParameterSet, parameters: readonly ParameterSpec[]): void {
  const specs = new Map(parameters.map((spec) => [spec.name, spec]));
  for (const { name, init } of parameters) {
    if (!('of' in init)) continue;
    const [source, into] = [all.slice(init.of), all.slice(name)];
    if (init.kind === 'rows') {
      const width = into.length / init.rows.length;
      for (const [i, row] of init.rows.entries()) into.set(source.subarray(row * width, (row + 1) * width), i * width);
    } else fillLengths(into, source, specs.get(init.of)?.matrix !== 'conv1d');
  }
}

function fillLengths(into: Float32Array, weight: Float32Array, isLinear: boolean): void {
  const inner = weight.length / into.length;
  for (let row = 0; row < into.length; row++) {
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += weight[isLinear ? row * inner + i : i * into.length + row]! ** 2;
    into[row] = Math.sqrt(sum);
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
