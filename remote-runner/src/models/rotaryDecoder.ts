/**
 * What Llama and its descendants with its tensor names share: rotary positions, RMS norms, gated feed-forward layers,
 * fewer heads for keys and values than for queries. What differs is a {@link RotaryDecoderSpec}.
 */
import type { Value } from '../graph/ir';
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import { activation, divisible, embedded, linear, linearSpecs, paddingOf } from './blocks';
import { type BodyContext, type CausalLm, normal, ones, type ParameterSpec, zeros } from './causalLm';
import { type Rotary, type Rotations, rotate, rotations } from './rotary';

/** Where a model departs from Llama. */
export interface RotaryDecoderSpec {
  readonly modelType: string;
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  readonly mlpBias?: boolean;
  /** Queries and keys go through a norm of their own, head by head. */
  readonly qkNorm?: boolean;
  /** One tensor for queries, keys and values, and one for gate and up. */
  readonly isFused?: boolean;
  /** Norms multiply by 1 + weight. */
  readonly normsFromOne?: boolean;
  /** What attention and feed-forward give goes through a norm, too, before it is added. */
  readonly normsBehind?: boolean;
  readonly tied: boolean;
  readonly activation: string;
  readonly headDim: number;
  /** `pad_token_id` where the configuration has none. */
  readonly padding?: number;
  /** Embeddings are multiplied by it. */
  readonly embeddingScale?: number;
  /** Scores are multiplied by it; default 1 / √headDim. */
  readonly scale?: number;
  /** Scores stay within ± it. */
  readonly softcap?: number;
  /** Logits stay within ± it. */
  readonly logitSoftcap?: number;
  readonly residDropout?: number;
  readonly rotary: (layer: number) => Rotary;
  /** Tokens that a layer sees; undefined: all. */
  readonly window?: (layer: number) => number | undefined;
}

/** The size of a head, where the configuration does not say it. */
function headDimOf(config: ModelConfig, file: string): number {
  if (config.head_dim !== undefined && config.head_dim !== null) return requireInt(config, 'head_dim', file);
  return divisible(
    requireInt(config, 'hidden_size', file),
    requireInt(config, 'num_attention_heads', file),
    'hidden_size',
    file,
  );
}

/** By layer, the kinds that `layer_types` names, or else what `otherwise` says; undefined: the layer sees everything. */
export function windowsOf(
  config: ModelConfig,
  file: string,
  isSliding: (layer: number) => boolean,
): (layer: number) => number | undefined {
  const size = config.sliding_window;
  if (size === null || size === undefined) return () => undefined;
  const window = requireInt(config, 'sliding_window', file);
  const types = config.layer_types;
  return (layer) => {
    const sliding = Array.isArray(types) ? types[layer] === 'sliding_attention' : isSliding(layer);
    return sliding ? window : undefined;
  };
}

export function rotaryDecoder(config: ModelConfig, file: string, spec: RotaryDecoderSpec): CausalLm {
  const { tied, headDim, scale = 1 / Math.sqrt(headDim), qkvBias = false, outBias = false, mlpBias = false } = spec;
  const vocab = requireInt(config, 'vocab_size', file);
  const hidden = requireInt(config, 'hidden_size', file);
  const inner = requireInt(config, 'intermediate_size', file);
  const layers = requireInt(config, 'num_hidden_layers', file);
  const heads = requireInt(config, 'num_attention_heads', file);
  const kvHeads = requireInt(config, 'num_key_value_heads', file, heads);
  divisible(heads, kvHeads, 'num_attention_heads', file);
  const epsilon = requireNumber(config, 'rms_norm_eps', file, 1e-6);
  const std = requireNumber(config, 'initializer_range', file, 0.02);
  const act = activation(spec.activation, file);
  const sizes = [heads * headDim, kvHeads * headDim, kvHeads * headDim] as const;
  const table = 'model.embed_tokens.weight';
  const padding = paddingOf(config, vocab, spec.padding);

  const normSpec = (name: string, size: number): ParameterSpec => ({
    name: `${name}.weight`,
    shape: [size],
    decay: false,
    init: spec.normsFromOne ? zeros : ones,
  });
  const norms = spec.normsBehind
    ? ['input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm']
    : ['input_layernorm', 'post_attention_layernorm'];
  const attention = (name: string): ParameterSpec[] => [
    ...(spec.isFused
      ? linearSpecs(`${name}.qkv_proj`, sizes[0] + 2 * sizes[1], hidden, qkvBias, std)
      : ['q_proj', 'k_proj', 'v_proj'].flatMap((part, i) =>
          linearSpecs(`${name}.${part}`, sizes[i]!, hidden, qkvBias, std),
        )),
    ...linearSpecs(`${name}.o_proj`, hidden, sizes[0], outBias, std),
    ...(spec.qkNorm ? [normSpec(`${name}.q_norm`, headDim), normSpec(`${name}.k_norm`, headDim)] : []),
  ];
  const mlp = (name: string): ParameterSpec[] => [
    ...(spec.isFused
      ? linearSpecs(`${name}.gate_up_proj`, 2 * inner, hidden, mlpBias, std)
      : ['gate_proj', 'up_proj'].flatMap((part) => linearSpecs(`${name}.${part}`, inner, hidden, mlpBias, std))),
    ...linearSpecs(`${name}.down_proj`, hidden, inner, mlpBias, std),
  ];
  const parameters: ParameterSpec[] = [{ name: table, shape: [vocab, hidden], decay: true, init: normal(std) }];
  for (let i = 0; i < layers; i++) {
    const name = `model.layers.${i}`;
    parameters.push(...attention(`${name}.self_attn`), ...mlp(`${name}.mlp`));
    parameters.push(...norms.map((norm) => normSpec(`${name}.${norm}`, hidden)));
  }
  parameters.push(normSpec('model.norm', hidden));
  if (!tied) parameters.push(...linearSpecs('lm_head', vocab, hidden, false, std));

  const norm = ({ g, param }: BodyContext, x: Value, name: string): Value => {
    const weight = param(`${name}.weight`);
    return g.rmsNorm(x, spec.normsFromOne ? g.add(weight, 1) : weight, epsilon);
  };
  const attend = (context: BodyContext, h: Value, name: string, layer: number, turn: Rotations): Value => {
    const { g, ids } = context;
    const tokens = ids.shape[0]!;
    const parts = spec.isFused
      ? g.split(linear(context, h, `${name}.qkv_proj`, qkvBias), sizes, 1)
      : ['q_proj', 'k_proj', 'v_proj'].map((part) => linear(context, h, `${name}.${part}`, qkvBias));
    let [q, k, v] = parts.map((part) => g.reshape(part, [tokens, part.shape[1]! / headDim, headDim])) as [
      Value,
      Value,
      Value,
    ];
    if (spec.qkNorm) [q, k] = [norm(context, q, `${name}.q_norm`), norm(context, k, `${name}.k_norm`)];
    const window = spec.window?.(layer);
    const mixed = context.attend(rotate(g, q, turn), rotate(g, k, turn), v, {
      layer,
      scale,
      ...(window !== undefined && { window }),
      ...(spec.softcap !== undefined && { softcap: spec.softcap }),
    });
    return linear(context, mixed, `${name}.o_proj`, outBias);
  };
  const feedForward = (context: BodyContext, h: Value, name: string): Value => {
    const { g } = context;
    const [gate, up] = (
      spec.isFused
        ? g.split(linear(context, h, `${name}.gate_up_proj`, mlpBias), [inner, inner], 1)
        : ['gate_proj', 'up_proj'].map((part) => linear(context, h, `${name}.${part}`, mlpBias))
    ) as [Value, Value];
    return linear(context, g.mul(act(g, gate), up), `${name}.down_proj`, mlpBias);
  };

  const rotaries = Array.from({ length: layers }, (_, layer) => spec.rotary(layer));
  const limits = rotaries.flatMap(({ maxPositions }) => maxPositions ?? []);
  return {
    modelType: spec.modelType,
    vocabSize: vocab,
    hiddenSize: hidden,
    maxPositions: Math.min(requireInt(config, 'max_position_embeddings', file), ...limits),
    layers,
    heads,
    kvHeads,
    headDim,
    attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
    parameters,
    embedding: table,
    headWeight: tied ? table : 'lm_head.weight',
    ...(spec.logitSoftcap !== undefined && { logitSoftcap: spec.logitSoftcap }),
    body(context) {
      const { g, positions } = context;
      const dropout = (x: Value) => context.dropout(x, spec.residDropout ?? 0);
      const turns = new Map<Rotary, Rotations>();
      const turnOf = (rotary: Rotary): Rotations => {
        const turn = turns.get(rotary) ?? rotations(g, positions, rotary);
        turns.set(rotary, turn);
        return turn;
      };
      let x = embedded(context, { name: table, scale: spec.embeddingScale, padding });
      for (let i = 0; i < layers; i++) {
        const name = `model.layers.${i}`;
        const [before, between, ...behind] = norms.map((part) => `${name}.${part}`) as [string, string, ...string[]];
        const [beforeMlp, afterMlp] = spec.normsBehind ? behind : [between];
        context.enters?.(x);
        x = g.scope(`layers.${i}/attn`, () => {
          const mixed = attend(context, norm(context, x, before), `${name}.self_attn`, i, turnOf(rotaries[i]!));
          return g.add(x, dropout(spec.normsBehind ? norm(context, mixed, between) : mixed));
        });
        x = g.scope(`layers.${i}/mlp`, () => {
          const made = feedForward(context, norm(context, x, beforeMlp!), `${name}.mlp`);
          return g.add(x, dropout(afterMlp === undefined ? made : norm(context, made, afterMlp)));
        });
      }
      context.enters?.(x);
      return g.scope('norm', () => norm(context, x, 'model.norm'));
    },
  };
}

/** Settings that every model of the family reads alike. */
export function familySettings(config: ModelConfig, file: string, tied: boolean, act = 'silu') {
  return {
    tied: requireBoolean(config, 'tie_word_embeddings', file, tied),
    activation: requireString(config, 'hidden_act', file, act),
    headDim: headDimOf(config, file),
  };
}
