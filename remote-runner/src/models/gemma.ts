/**
 * Gemma 2 and the text part of Gemma 3 (Gemma Team 2024, 2025): norms before and behind each half of a layer, layers that
 * see a window between those that see everything; bounded scores and logits in Gemma 2, norms on queries and keys in 3.
 */
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import { refuse } from './blocks';
import type { Architecture, CausalLm } from './causalLm';
import { rotaryOf } from './rotary';
import { type RotaryDecoderSpec, rotaryDecoder, windowsOf } from './rotaryDecoder';

function gemma(
  config: ModelConfig,
  file: string,
  more: Pick<RotaryDecoderSpec, 'modelType' | 'qkNorm' | 'rotary' | 'window' | 'headDim'>,
): CausalLm {
  refuse(config, 'use_bidirectional_attention', [false], file);
  const bias = requireBoolean(config, 'attention_bias', file, false);
  const bound = (key: string) => (typeof config[key] === 'number' ? requireNumber(config, key, file) : undefined);
  const [softcap, logitSoftcap] = [bound('attn_logit_softcapping'), bound('final_logit_softcapping')];
  return rotaryDecoder(config, file, {
    ...more,
    tied: requireBoolean(config, 'tie_word_embeddings', file, true),
    activation: requireString(config, 'hidden_activation', file, 'gelu_pytorch_tanh'),
    qkvBias: bias,
    outBias: bias,
    normsFromOne: true,
    normsBehind: true,
    padding: 0,
    embeddingScale: Math.sqrt(requireInt(config, 'hidden_size', file)),
    scale: requireNumber(config, 'query_pre_attn_scalar', file, 256) ** -0.5,
    ...(softcap !== undefined && { softcap }),
    ...(logitSoftcap !== undefined && { logitSoftcap }),
  });
}

export const gemma2: Architecture = {
  modelType: 'gemma2',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const headDim = requireInt(config, 'head_dim', file, 256);
    const rotary = rotaryOf(config, file, { headDim, theta: 10_000 });
    const window = windowsOf({ sliding_window: 4096, ...config }, file, (layer) => layer % 2 === 0);
    return gemma(config, file, { modelType: 'gemma2', headDim, rotary: () => rotary, window });
  },
};

export const gemma3: Architecture = {
  modelType: 'gemma3_text',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const headDim = requireInt(config, 'head_dim', file, 256);
    const pattern = requireInt(config, 'sliding_window_pattern', file, 6);
    const window = windowsOf({ sliding_window: 4096, ...config }, file, (layer) => (layer + 1) % pattern !== 0);
    const whole = rotaryOf(config, file, { headDim, theta: 1_000_000, layerType: 'full_attention' });
    // Before there were groups, windows had a base of their own and were never stretched.
    const near: ModelConfig = config.rope_parameters
      ? config
      : { model_type: config.model_type, rope_theta: config.rope_local_base_freq ?? 10_000 };
    const local = rotaryOf(near, file, { headDim, theta: 10_000, layerType: 'sliding_attention' });
    const rotary = (layer: number) => (window(layer) === undefined ? whole : local);
    return gemma(config, file, { modelType: 'gemma3_text', headDim, qkNorm: true, rotary, window });
  },
};
