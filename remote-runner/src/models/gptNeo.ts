/** GPT-Neo (Black et al. 2021): GPT-2 with every other layer's attention limited to a local window; unscaled scores. */
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import { activation, divisible, linear, linearSpecs } from './blocks';
import type { Architecture, CausalLm } from './causalLm';
import { gptDecoder } from './gptDecoder';

type LayerKind = 'global' | 'local';

export const gptNeo: Architecture = {
  modelType: 'gpt_neo',
  optionalPrefix: 'transformer.',
  ignored: /\.attn\.attention\.(bias|masked_bias)$/,
  parse(config, file): CausalLm {
    const hidden = requireInt(config, 'hidden_size', file);
    const layers = requireInt(config, 'num_layers', file);
    const heads = requireInt(config, 'num_heads', file);
    const inner = typeof config.intermediate_size === 'number' ? config.intermediate_size : 4 * hidden;
    const window = requireInt(config, 'window_size', file, 256);
    const act = activation(requireString(config, 'activation_function', file, 'gelu_new'), file);
    const kinds = layerKinds(config, layers, file);
    const headDim = divisible(hidden, heads, 'hidden_size', file);
    const std = requireNumber(config, 'initializer_range', file, 0.02);

    const shape = {
      modelType: 'gpt_neo',
      vocab: requireInt(config, 'vocab_size', file),
      hidden,
      positions: requireInt(config, 'max_position_embeddings', file),
      layers,
      heads,
      headDim,
      tied: requireBoolean(config, 'tie_word_embeddings', file, true),
      epsilon: requireNumber(config, 'layer_norm_epsilon', file, 1e-5),
      std,
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
      embedDropout: requireNumber(config, 'embed_dropout', file, 0),
      residDropout: requireNumber(config, 'resid_dropout', file, 0),
    };
    const projections = ['q_proj', 'k_proj', 'v_proj'];
    return gptDecoder(shape, {
      attentionSpecs: (name) => [
        ...projections.flatMap((p) => linearSpecs(`${name}.attn.attention.${p}`, hidden, hidden, false, std)),
        ...linearSpecs(`${name}.attn.attention.out_proj`, hidden, hidden, true, std),
      ],
      mlpSpecs: (name) => [
        ...linearSpecs(`${name}.mlp.c_fc`, inner, hidden, true, std),
        ...linearSpecs(`${name}.mlp.c_proj`, hidden, inner, true, std),
      ],
      attention(context, h, name, layer) {
        const { g, ids, attend } = context;
        const [q, k, v] = projections.map((p) =>
          g.reshape(linear(context, h, `${name}.attn.attention.${p}`, false), [ids.shape[0]!, heads, headDim]),
        );
        const mixed = attend(q!, k!, v!, { layer, scale: 1, ...(kinds[layer] === 'local' ? { window } : {}) });
        return linear(context, mixed, `${name}.attn.attention.out_proj`, true);
      },
      mlp: (context, h, name) =>
        linear(context, act(context.g, linear(context, h, `${name}.mlp.c_fc`, true)), `${name}.mlp.c_proj`, true),
    });
  },
};

const attentionTypes = z.array(z.tuple([z.array(z.enum(['global', 'local'])), z.number().int().nonnegative()]));

/** `attention_types` is [[["global", "local"], 12]]: the kinds, so many times over. */
function layerKinds(config: ModelConfig, layers: number, file: string): LayerKind[] {
  const invalid = (what: string) =>
    new TuneyardError('model_invalid', `"attention_types" ${what}`, { place: { file } });
  const types = attentionTypes.safeParse(config.attention_types ?? [[['global', 'local'], Math.ceil(layers / 2)]]);
  if (!types.success)
    throw invalid('must say which layers are "global" and "local", as [[["global", "local"], 6]] does.');
  // Counted before they are written out: the file may claim any number.
  const described = types.data.reduce((sum, [pattern, times]) => sum + pattern.length * times, 0);
  if (described !== layers) throw invalid(`describes ${described} layers, "num_layers" says ${layers}.`);
  return types.data.flatMap(([pattern, times]) =>
    Array.from({ length: pattern.length > 0 ? times : 0 }, () => pattern).flat(),
  );
}
