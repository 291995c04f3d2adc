/** What a way to train is to the rest of the runner: which parameters there are, and which of them change. */
import type { Recipe } from '@protocol/recipe';
import type { CausalLm } from '../models/causalLm';

export interface Method {
  readonly name: Recipe['method'];
  /**
   * @param base what to call the base model in files: its folder, or its name on the hub
   * @throws TuneyardError `recipe_invalid` where the recipe asks for what the model does not have
   */
  prepare(model: CausalLm, recipe: Recipe, base: string): PreparedMethod;
}

export interface PreparedMethod {
  /** The model with what the method adds to it. */
  readonly model: CausalLm;
  /** Names of the parameters that are trained; the others stay as they are. */
  readonly trainable: ReadonlySet<string>;
  /** Where what is trained is saved by itself: its configuration, and the name of each tensor in the file. */
  readonly adapter?: {
    readonly config: Readonly<Record<string, unknown>>;
    savedName(parameter: string): string;
  };
}
