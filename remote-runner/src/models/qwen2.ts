/** Qwen2 and 2.5 (Yang et al. 2024): Llama with biases on queries, keys and values; upper layers may see a window only. */
import { requireBoolean, requireInt } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import type { Architecture } from './causalLm';
import { rotaryOf } from './rotary';
import { familySettings, rotaryDecoder, windowsOf } from './rotaryDecoder';

export const qwen2: Architecture = {
  modelType: 'qwen2',
  optionalPrefix: 'model.',
  ignored: /\.rotary_emb\.inv_freq$/,
  parse(config, file) {
    const settings = familySettings(config, file, false);
    const rotary = rotaryOf(config, file, { headDim: settings.headDim, theta: 10_000 });
    return rotaryDecoder(config, file, {
      modelType: 'qwen2',
      ...settings,
      qkvBias: true,
      rotary: () => rotary,
      window: qwenWindows(config, file),
    });
  },
};

/** Only where `use_sliding_window` says so, and from layer `max_window_layers` on. */
export function qwenWindows(config: ModelConfig, file: string): (layer: number) => number | undefined {
  if (!requireBoolean(config, 'use_sliding_window', file, false)) return () => undefined;
  const first = requireInt(config, 'max_window_layers', file, 28);
  return windowsOf(config, file, (layer) => layer >= first);
}
