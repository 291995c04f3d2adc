/** The weights that a training begins with. */
import type { Recipe } from '@protocol/recipe';
import type { PreparedMethod } from '../methods/method';
import { continueAdapter, mergeAdapter } from '../methods/peftAdapter';
import { initialize } from '../models/initialize';
import { readParameters } from '../models/loadModel';
import { Arena, type JoinedArenas, joined, layoutArena } from '../train/arena';
import type { ArenaMemory } from '../train/arenaMemory';
import type { PreparedModel } from './prepare';

/**
 * Fresh weights for what the method adds, the model's for the rest, and the adapter's that training goes on with.
 * @param memory where what is trained is to lie, if there is room
 * @returns what is trained, and all parameters
 * @throws TuneyardError `weights_invalid`, `recipe_invalid`, `out_of_memory`
 */
export async function openParameters(
  prepared: PreparedModel,
  { model, trainable, adapter: saved }: PreparedMethod,
  recipe: Recipe,
  memory?: ArenaMemory,
  signal?: AbortSignal,
): Promise<{ trained: Arena; parameters: JoinedArenas }> {
  const { adapter, model: base } = prepared;
  const layoutOf = (isTrained: boolean) =>
    layoutArena(model.parameters.filter(({ name }) => trainable.has(name) === isTrained));
  const trained = new Arena(layoutOf(true), memory);
  const frozen = layoutOf(false);
  const parameters = frozen.size > 0 ? joined(trained, new Arena(frozen)) : joined(trained);
  initialize(trained, model.parameters.slice(base.parameters.length), recipe.seed);
  await readParameters(prepared, parameters, signal);
  if (adapter && saved) await continueAdapter(adapter, trained, saved.savedName, recipe.lora, signal);
  else if (adapter) await mergeAdapter(adapter, base, parameters, signal);
  return { trained, parameters };
}
