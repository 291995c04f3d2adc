/** What a way to train is to the rest of the runner: which parameters there are, and which of them change. */
import type { Recipe } from '@protocol/recipe';
import { elementCount } from '../graph/ir';
import type { CausalLm } from '../models/causalLm';
import type { QuantizationScheme } from '../quantization/quantize';
import type { ParameterSet } from '../train/arena';
import type { Matrix } from './targets';

/** In front of a model's names in PEFT's files. */
export const PEFT_PREFIX = 'base_model.model.';

export interface Method {
  readonly name: Recipe['method'];
  /**
   * @param base what to call the base model in files: its folder, or its name on the hub
   * @param encode ids of a text that begins a sequence
   * @throws TuneyardError `recipe_invalid` where the recipe asks for what the model does not have
   */
  prepare(model: CausalLm, recipe: Recipe, base: string, encode?: Encode): PreparedMethod;
}

export type Encode = (text: string) => ArrayLike<number>;

export interface PreparedMethod {
  /** The model with what the method adds to it. */
  readonly model: CausalLm;
  /** Names of the parameters that are trained; the others stay as they are. */
  readonly trainable: ReadonlySet<string>;
  /** Where what is trained is saved by itself: its configuration, and the name of each tensor in the file. */
  readonly adapter?: SavedAdapter;
  /** Matrices that are held in few bits, and how. */
  readonly quantized?: { readonly matrices: readonly Matrix[]; readonly scheme: QuantizationScheme };
}

export interface SavedAdapter {
  /** `adapter_config.json` */
  readonly config: Readonly<Record<string, unknown>> & { readonly peft_type: string };
  savedName(parameter: string): string;
  /** What is saved beside what is trained, computed from it. */
  readonly derived?: {
    readonly name: string;
    readonly shape: readonly number[];
    of(trained: ParameterSet): Float32Array;
  };
}

/** Trains what a model has more than it had, all of it virtual tokens. @param config what PEFT's file says beside their number */
export function softPromptMethod(base: CausalLm, model: CausalLm, config: SavedAdapter['config']): PreparedMethod {
  return {
    model,
    trainable: new Set(model.parameters.slice(base.parameters.length).map(({ name }) => name)),
    adapter: {
      config: {
        task_type: 'CAUSAL_LM',
        num_virtual_tokens: model.front?.ids.length,
        num_transformer_submodules: 1,
        num_layers: base.layers,
        num_attention_heads: base.heads,
        token_dim: base.hiddenSize,
        inference_mode: true,
        ...config,
      },
      savedName: (name) => name,
    },
  };
}

/** How many weights there are, whatever bits they have. @param base the model that the method was given */
export function parameterCount(base: CausalLm, { model, quantized }: PreparedMethod): number {
  const own = new Set(base.parameters.map(({ name }) => name));
  const ofBase = base.parameters.map(({ shape }) => elementCount(shape));
  const replaced = new Set(
    quantized?.matrices.flatMap((matrix) => quantized.scheme.parts(matrix).map(({ end }) => matrix.name + end)),
  );
  const added = model.parameters.filter(({ name }) => !own.has(name) && !replaced.has(name));
  return [...ofBase, ...added.map(({ shape }) => elementCount(shape))].reduce((a, b) => a + b, 0);
}
