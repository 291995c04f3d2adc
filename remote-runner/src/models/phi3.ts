/** Phi-3 (Abdin et al. 2024): Llama with one tensor for queries, keys and values, and one for gate and up. */
import { requireNumber } from '../hub/configValues';
import type { Architecture } from './causalLm';
import { rotaryOf } from './rotary';
import { familySettings, rotaryDecoder, windowsOf } from './rotaryDecoder';

export const phi3: Architecture = {
  modelType: 'phi3',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const settings = familySettings(config, file, false);
    const rotary = rotaryOf(config, file, { headDim: settings.headDim, theta: 10_000 });
    return rotaryDecoder(config, file, {
      modelType: 'phi3',
      padding: 32_000,
      ...settings,
      isFused: true,
      residDropout: requireNumber(config, 'resid_pdrop', file, 0),
      rotary: () => rotary,
      window: windowsOf(config, file, () => true),
    });
  },
};
