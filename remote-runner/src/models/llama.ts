/** Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024) and what has its shape, such as SmolLM. */
import { requireBoolean } from '../hub/configValues';
import type { Architecture } from './causalLm';
import { rotaryOf } from './rotary';
import { familySettings, rotaryDecoder } from './rotaryDecoder';

export const llama: Architecture = {
  modelType: 'llama',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const settings = familySettings(config, file, false);
    const bias = requireBoolean(config, 'attention_bias', file, false);
    const rotary = rotaryOf(config, file, { headDim: settings.headDim, theta: 10_000 });
    return rotaryDecoder(config, file, {
      modelType: 'llama',
      ...settings,
      qkvBias: bias,
      outBias: bias,
      mlpBias: requireBoolean(config, 'mlp_bias', file, false),
      rotary: () => rotary,
    });
  },
};
