/**
 * (IA)³, Liu et al. 2022: a factor for each output of some matrices (keys, values), and for each input of others (what
 * leaves a feed-forward layer). Names, defaults and files are those of PEFT.
 */
import { TuneyardError } from '@protocol/errors';
import type { Value } from '../graph/ir';
import { type BodyContext, type CausalLm, ones, type ParameterSpec } from '../models/causalLm';
import { type Method, PEFT_PREFIX } from './method';
import { isFanInFanOut, type Matrix, targetsOf } from './targets';

interface Choice {
  readonly targets: readonly string[];
  readonly feedForward: readonly string[];
}

const choice = (targets: readonly string[], ...feedForward: string[]): Choice => ({
  targets: [...targets, ...feedForward],
  feedForward,
});

/**
 * PEFT's own choice where a recipe makes none (`TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING`); it makes none for
 * Phi-3.
 */
const DEFAULTS: Readonly<Record<string, Choice>> = {
  bloom: choice(['query_key_value'], 'mlp.dense_4h_to_h'),
  gpt2: choice(['c_attn'], 'mlp.c_proj'),
  gpt_neo: choice(['q_proj', 'v_proj'], 'c_proj'),
  gpt_neox: choice(['query_key_value'], 'dense_4h_to_h'),
  llama: choice(['k_proj', 'v_proj'], 'down_proj'),
  mistral: choice(['k_proj', 'v_proj'], 'down_proj'),
  opt: choice(['q_proj', 'k_proj'], 'fc2'),
  phi3: choice(['qkv_proj'], 'down_proj'),
};
const OTHERS = choice(['q_proj', 'v_proj'], 'down_proj');

const nameOf = (module: string) => `${PEFT_PREFIX}${module}.ia3_l`;

export const ia3: Method = {
  name: 'ia3',
  prepare(model, { ia3: options }, base) {
    const byDefault = DEFAULTS[model.modelType] ?? OTHERS;
    const targets = targetsOf(model, options.target_modules ?? byDefault.targets, 'ia3.target_modules');
    // Who chooses matrices chooses which of them are of feed-forward layers.
    const inner = options.feedforward_modules ?? (options.target_modules ? [] : byDefault.feedForward);
    const feedForward = inner.length === 0 ? [] : targetsOf(model, inner, 'ia3.feedforward_modules');
    const stray = feedForward.find((matrix) => !targets.some(({ name }) => name === matrix.name));
    if (stray) {
      throw new TuneyardError(
        'recipe_invalid',
        `"ia3.feedforward_modules" names ${stray.name}, which "ia3.target_modules" does not.`,
      );
    }
    const byInput = new Set(feedForward.map(({ name }) => name));
    const adapted = withFactors(model, targets, byInput);
    return {
      model: adapted,
      trainable: new Set(targets.map(({ name }) => nameOf(name))),
      adapter: {
        config: {
          peft_type: 'IA3',
          task_type: 'CAUSAL_LM',
          base_model_name_or_path: base,
          target_modules: targets.map(({ name }) => name),
          feedforward_modules: [...byInput],
          fan_in_fan_out: isFanInFanOut(targets),
          modules_to_save: null,
          init_ia3_weights: true,
          inference_mode: true,
        },
        savedName: (name) => name,
      },
    };
  },
};

/** The model with factors at these matrices; their parameters are the last. */
function withFactors(model: CausalLm, targets: readonly Matrix[], byInput: ReadonlySet<string>): CausalLm {
  const parameters = targets.map(
    ({ name, inner, out }): ParameterSpec => ({
      name: nameOf(name),
      shape: byInput.has(name) ? [1, inner] : [out, 1],
      decay: true,
      init: ones,
    }),
  );
  const names = new Set(targets.map(({ name }) => name));
  const times = ({ g, param }: BodyContext, name: string, x: Value) =>
    g.mul(x, g.reshape(param(nameOf(name)), [1, x.shape[1]!]));
  return {
    ...model,
    parameters: [...model.parameters, ...parameters],
    body: (context) =>
      model.body({
        ...context,
        into: (name, x) => (byInput.has(name) ? times(context, name, x) : x),
        adapt: (name, _, y) => (names.has(name) && !byInput.has(name) ? times(context, name, y) : y),
      }),
  };
}
