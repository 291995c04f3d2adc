/** The ways to train: one line each (and its name in the recipe's schema). */
import type { Recipe } from '@protocol/recipe';
import type { CausalLm } from '../models/causalLm';
import { full } from './full';
import { ia3 } from './ia3';
import { lora } from './lora';
import type { Encode, Method, PreparedMethod } from './method';
import { prefixTuning } from './prefixTuning';
import { promptTuning } from './promptTuning';
import { pTuning } from './pTuning';
import { qlora } from './qlora';

const METHODS: Readonly<Record<Recipe['method'], Method>> = {
  full,
  lora,
  qlora,
  ia3,
  prompt_tuning: promptTuning,
  prefix_tuning: prefixTuning,
  p_tuning: pTuning,
};

/** @throws TuneyardError `recipe_invalid` where the recipe asks for what the model does not have */
export const prepareMethod = (model: CausalLm, recipe: Recipe, base: string, encode?: Encode): PreparedMethod =>
  METHODS[recipe.method].prepare(model, recipe, base, encode);
