/** The weights that a training begins with. */
import type { Recipe } from '@protocol/recipe';
import { continueAdapter } from '../methods/continueAdapter';
import { mergeAdapter } from '../methods/mergeAdapter';
import type { PreparedMethod } from '../methods/method';
import { notInWeights } from '../methods/softPromptAdapter';
import { initialize, initializeFromOthers } from '../models/initialize';
import { type OpenModel, readParameters, readQuantized } from '../models/loadModel';
import { QuantizedWeights } from '../quantization/quantizedWeights';
import { Arena, type JoinedArenas, joined, layoutArena } from '../train/arena';
import type { ArenaMemory } from '../train/arenaMemory';

/**
 * Fresh weights for what the method adds, the model's for the rest, and the adapter's that training goes on with.
 * @param memory where what is trained is to lie, if there is room
 * @returns what is trained, and all parameters
 * @throws TuneyardError `weights_invalid`, `recipe_invalid`, `out_of_memory`
 */
export async function openParameters(
  prepared: OpenModel,
  { model, trainable, adapter: saved, quantized }: PreparedMethod,
  recipe: Recipe,
  memory?: ArenaMemory,
  signal?: AbortSignal,
): Promise<{ trained: Arena; parameters: JoinedArenas }> {
  const { adapter, bare: base } = prepared;
  const few = quantized && new QuantizedWeights(quantized.matrices, quantized.scheme);
  const inBits = new Set(few?.tensors.map(({ name }) => name));
  const layoutOf = (isTrained: boolean) =>
    layoutArena(model.parameters.filter(({ name }) => trainable.has(name) === isTrained && !inBits.has(name)));
  const trained = new Arena(layoutOf(true), memory);
  const frozen = new Arena(layoutOf(false));
  const parameters = joined(trained, ...[frozen, ...(few ? [few] : [])].filter(({ data }) => data.byteLength > 0));
  const own = new Set(base.parameters.map(({ name }) => name));
  const added = model.parameters.filter(({ name }) => !own.has(name) && !inBits.has(name));
  initialize(trained, added, recipe.seed);
  for (const arena of [trained, frozen]) await readParameters(prepared, arena, signal);
  if (few) await readQuantized(prepared, few, signal);
  initializeFromOthers(parameters, model.parameters);
  if (adapter && saved) await continueAdapter(adapter, trained, saved, recipe, signal);
  else if (adapter && prepared.model.front) throw notInWeights(adapter);
  else if (adapter) await mergeAdapter(adapter, base, parameters, signal);
  return { trained, parameters };
}
