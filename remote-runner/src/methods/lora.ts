/**
 * Low-rank adapters (LoRA, Hu et al. 2021): y = W x + scale · B A x with A [r, in] and B [out, r]; W stays as it is. Names,
 * defaults and files are those of PEFT.
 */
import { TuneyardError } from '@protocol/errors';
import type { LoraRecipe } from '@protocol/recipe';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { BodyContext, CausalLm, ParameterSpec } from '../models/causalLm';
import { zeros } from '../models/causalLm';
import { type Method, PEFT_PREFIX, type SavedAdapter } from './method';
import { headModule, isFanInFanOut, type Matrix, modulesEndingIn, targetsOf } from './targets';

/** One matrix with an adapter. */
export interface LoraModule {
  readonly matrix: Matrix;
  readonly r: number;
  /** What B A is multiplied by. */
  readonly scale: number;
}

/** PEFT's own choice where a recipe makes none (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`). */
const DEFAULT_TARGETS: Readonly<Record<string, readonly string[]>> = {
  bloom: ['query_key_value'],
  gpt2: ['c_attn'],
  gpt_neox: ['query_key_value'],
  phi3: ['qkv_proj'],
};
const QUERY_AND_VALUE = ['q_proj', 'v_proj'];

const loraNames = (module: string) => ({
  a: `${PEFT_PREFIX}${module}.lora_A.weight`,
  b: `${PEFT_PREFIX}${module}.lora_B.weight`,
  length: `${PEFT_PREFIX}${module}.lora_magnitude_vector`,
});

export const scaleOf = (alpha: number, r: number, isRankStabilized: boolean): number =>
  alpha / (isRankStabilized ? Math.sqrt(r) : r);

export const lora: Method = {
  name: 'lora',
  prepare(model, { lora: options }, base) {
    const wanted = options.target_modules ?? DEFAULT_TARGETS[model.modelType] ?? QUERY_AND_VALUE;
    const targets = targetsOf(model, wanted, 'lora.target_modules');
    const scale = scaleOf(options.lora_alpha, options.r, options.use_rslora);
    const modules = targets.map((matrix): LoraModule => ({ matrix, r: options.r, scale }));
    const adapted = withLora(model, modules, options);
    const added = adapted.parameters.slice(model.parameters.length).map(({ name }) => name);
    const whole = savedWhole(model, options.modules_to_save);
    const biases = biasesOf(model, targets, options.bias);
    const wrapped = new Set(targets.map(({ name }) => `${name}.bias`));
    const trainable = new Set([...added, ...whole, ...biases]);
    return {
      model: { ...adapted, parameters: withRates(adapted.parameters, trainable, options.loraplus_lr_ratio) },
      trainable,
      adapter: {
        config: configOf(base, targets, options),
        savedName: (name) => {
          if (name.startsWith(PEFT_PREFIX)) return name;
          return PEFT_PREFIX + (wrapped.has(name) ? name.replace(/\.bias$/, '.base_layer.bias') : name);
        },
      },
    };
  },
};

/**
 * LoRA+ (Hayou et al. 2024): B learns faster than A; so do vectors, as in PEFT's `create_loraplus_optimizer`.
 * @param rate how many times as fast; undefined: all alike
 */
function withRates(
  parameters: readonly ParameterSpec[],
  trainable: ReadonlySet<string>,
  rate: number | undefined,
): readonly ParameterSpec[] {
  if (rate === undefined) return parameters;
  const isFast = ({ name, shape }: ParameterSpec) =>
    trainable.has(name) && (name.endsWith('.lora_B.weight') || shape.length === 1);
  return parameters.map((spec) => (isFast(spec) ? { ...spec, rate } : spec));
}

/** The model with adapters beside these matrices; their parameters are the last. */
function withLora(
  model: CausalLm,
  modules: readonly LoraModule[],
  { lora_dropout: dropout, use_dora: isDora }: LoraRecipe,
): CausalLm {
  const byName = new Map(modules.map((module) => [module.matrix.name, module]));
  const parameters = modules.flatMap(({ matrix: { name, inner, out }, r }): ParameterSpec[] => {
    const { a, b, length } = loraNames(name);
    const lengths = {
      name: length,
      shape: [out],
      decay: true,
      init: { kind: 'lengths', of: `${name}.weight` },
    } as const;
    // Kaiming's uniform distribution with a = √5, as PyTorch initialises a Linear.
    return [
      { name: a, shape: [r, inner], decay: true, init: { kind: 'uniform', limit: 1 / Math.sqrt(inner) } },
      { name: b, shape: [out, r], decay: true, init: zeros },
      ...(isDora ? [lengths] : []),
    ];
  });
  const known = new Set(model.parameters.map(({ name }) => name));
  const adaptIn =
    ({ g, param, dropout: drop }: BodyContext) =>
    (name: string, x: Value, y: Value): Value => {
      const module = byName.get(name);
      if (!module) return y;
      const { a, b, length } = loraNames(name);
      const dropped = drop(x, dropout);
      const down = g.gemm(dropped, param(a), null, { transB: true });
      const added = g.mul(g.gemm(down, param(b), null, { transB: true }), module.scale);
      if (!isDora) return g.add(y, added);
      const isLinear = module.matrix.kind === 'linear';
      const weight = param(`${name}.weight`);
      const share = g.reshape(g.div(param(length), lengthsOf(g, weight, param(a), param(b), module)), [1, y.shape[1]!]);
      // What the matrix makes of what the adapter sees, without the bias.
      const bias = known.has(`${name}.bias`) ? param(`${name}.bias`) : undefined;
      const same = bias ? g.sub(y, bias) : y;
      const made = dropped === x ? same : g.gemm(dropped, weight, null, { transB: isLinear });
      return g.add(y, g.add(g.mul(g.sub(share, 1), made), g.mul(share, added)));
    };
  return {
    ...model,
    parameters: [...model.parameters, ...parameters],
    body: (context) => model.body({ ...context, adapt: adaptIn(context) }),
  };
}

/**
 * The length of what each output is made with, [out], by W and the adapter; as a constant: what the adapter changes of it
 * has no part in the gradient (DoRA, Liu et al. 2024, section 4.3).
 */
function lengthsOf(g: Builder, weight: Value, a: Value, b: Value, { matrix: { kind }, scale }: LoraModule): Value {
  const isLinear = kind === 'linear';
  const product = isLinear ? g.gemm(b, a) : g.gemm(a, b, null, { transA: true, transB: true });
  const both = g.add(weight, g.mul(product, scale));
  return g.apply('StopGradient', [g.sqrt(g.reduceSum(g.square(both), [isLinear ? 1 : 0]))]);
}

function savedWhole(model: CausalLm, ends: readonly string[]): string[] {
  return ends.flatMap((end) => {
    const modules = modulesEndingIn(model, end);
    const isTiedHead = end === 'lm_head' && model.headWeight === model.embedding;
    if (modules.length > 0 && !isTiedHead) return modules;
    throw new TuneyardError(
      'recipe_invalid',
      isTiedHead
        ? `"lora.modules_to_save" names "lm_head", which is the embedding in this model; name that (${headModule(model)}).`
        : `"lora.modules_to_save" names "${end}", and the model has no module whose name ends so.`,
    );
  });
}

function biasesOf({ parameters }: CausalLm, targets: readonly Matrix[], bias: LoraRecipe['bias']): string[] {
  const all = parameters.map(({ name }) => name).filter((name) => name.endsWith('.bias'));
  if (bias === 'all') return all;
  const ofTargets = new Set(targets.map(({ name }) => `${name}.bias`));
  return bias === 'none' ? [] : all.filter((name) => ofTargets.has(name));
}

/** `adapter_config.json`, with every key that PEFT needs to load it. */
function configOf(base: string, targets: readonly Matrix[], options: LoraRecipe): SavedAdapter['config'] {
  const { r, lora_alpha, lora_dropout, bias, use_rslora, use_dora, target_modules, modules_to_save } = options;
  const isPattern = typeof target_modules === 'string' && target_modules !== 'all-linear';
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r,
    lora_alpha,
    lora_dropout,
    // Ends of names may mean other modules elsewhere: whole names mean these.
    target_modules: isPattern ? target_modules : targets.map(({ name }) => name),
    bias,
    modules_to_save: modules_to_save.length > 0 ? modules_to_save : null,
    use_rslora,
    use_dora,
    fan_in_fan_out: isFanInFanOut(targets),
    init_lora_weights: true,
    inference_mode: true,
    rank_pattern: {},
    alpha_pattern: {},
  };
}
