/** Mistral (Jiang et al. 2023): Llama whose layers may see a window of tokens only. */
import type { Architecture } from './causalLm';
import { rotaryOf } from './rotary';
import { familySettings, rotaryDecoder, windowsOf } from './rotaryDecoder';

export const mistral: Architecture = {
  modelType: 'mistral',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const settings = familySettings(config, file, false);
    const rotary = rotaryOf(config, file, { headDim: settings.headDim, theta: 10_000 });
    return rotaryDecoder(config, file, {
      modelType: 'mistral',
      ...settings,
      rotary: () => rotary,
      window: windowsOf(config, file, () => true),
    });
  },
};
