/** Training that goes on with an adapter. */
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import { ADAPTER_CONFIG_FILE } from '../hub/modelFiles';
import type { ParameterSet } from '../train/arena';
import type { SavedAdapter } from './method';
import type { PeftAdapter } from './peftAdapter';

/**
 * Fills parameters from an adapter that training goes on with.
 * @param saved how they are saved
 * @throws TuneyardError `recipe_invalid` where the recipe describes another adapter
 */
export async function continueAdapter(
  { weights, dir, config }: PeftAdapter,
  into: ParameterSet,
  saved: SavedAdapter,
  recipe: Pick<Recipe, 'method' | 'lora'>,
  signal?: AbortSignal,
): Promise<void> {
  const { method } = recipe;
  const key = method === 'qlora' ? 'lora' : method;
  const other = (what: string) =>
    new TuneyardError('recipe_invalid', `the adapter that training is to go on with ${what}; make "${key}" the same.`, {
      place: { file: join(dir, ADAPTER_CONFIG_FILE) },
    });
  if (config.peft_type !== saved.config.peft_type) {
    throw new TuneyardError(
      'recipe_invalid',
      `the adapter that training is to go on with is one of ${config.peft_type}, which "method": "${method}" does not train.`,
      { place: { file: join(dir, ADAPTER_CONFIG_FILE) } },
    );
  }
  if (config.peft_type === 'LORA') {
    for (const setting of ['r', 'lora_alpha', 'use_rslora', 'use_dora'] as const) {
      const [theirs, ours] = [config[setting], recipe.lora[setting]];
      if (theirs !== ours) throw other(`has "${setting}": ${theirs}, the recipe ${ours}`);
    }
  }
  const left = new Set(weights.names());
  // It is computed anew.
  if (saved.derived) left.delete(saved.derived.name);
  for (const { name, shape } of into.tensors) {
    const found = saved.savedName(name);
    if (!left.delete(found)) throw other(`lacks ${found}`);
    if (weights.info(found).shape.join() !== shape.join()) throw other(`has ${found} in another shape`);
    await weights.readFloat32(found, into.slice(name), signal);
  }
  const [extra] = left;
  if (extra !== undefined) throw other(`has ${extra} as well`);
}
