/** Qwen3 (Yang et al. 2025): Qwen2 with norms on queries and keys in place of the biases. */
import { requireBoolean, requireInt } from '../hub/configValues';
import type { Architecture } from './causalLm';
import { qwenWindows } from './qwen2';
import { rotaryOf } from './rotary';
import { familySettings, rotaryDecoder } from './rotaryDecoder';

export const qwen3: Architecture = {
  modelType: 'qwen3',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const headDim = requireInt(config, 'head_dim', file, 128);
    const settings = { ...familySettings({ ...config, head_dim: headDim }, file, false) };
    const bias = requireBoolean(config, 'attention_bias', file, false);
    const rotary = rotaryOf(config, file, { headDim, theta: 10_000 });
    return rotaryDecoder(config, file, {
      modelType: 'qwen3',
      ...settings,
      qkvBias: bias,
      outBias: bias,
      qkNorm: true,
      rotary: () => rotary,
      window: qwenWindows(config, file),
    });
  },
};
