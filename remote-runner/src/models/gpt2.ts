/** GPT-2 (Radford et al. 2019), as transformers' `GPT2LMHeadModel` computes it. */
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import { activation, conv1d, conv1dSpecs, divisible, refuse } from './blocks';
import type { Architecture, CausalLm } from './causalLm';
import { gptDecoder } from './gptDecoder';

export const gpt2: Architecture = {
  modelType: 'gpt2',
  optionalPrefix: 'transformer.',
  ignored: /\.attn\.(bias|masked_bias)$/,
  parse(config, file): CausalLm {
    refuse(config, 'add_cross_attention', [false], file);
    const hidden = requireInt(config, 'n_embd', file);
    const layers = requireInt(config, 'n_layer', file);
    const heads = requireInt(config, 'n_head', file);
    const inner = typeof config.n_inner === 'number' ? config.n_inner : 4 * hidden;
    const act = activation(requireString(config, 'activation_function', file, 'gelu_new'), file);
    const scaled = requireBoolean(config, 'scale_attn_weights', file, true);
    const byLayer = requireBoolean(config, 'scale_attn_by_inverse_layer_idx', file, false);
    const headDim = divisible(hidden, heads, 'n_embd', file);
    const std = requireNumber(config, 'initializer_range', file, 0.02);
    // Residual projections start smaller, by the depth (GPT-2 paper, section 2.3).
    const residStd = std / Math.sqrt(2 * layers);

    const shape = {
      modelType: 'gpt2',
      vocab: requireInt(config, 'vocab_size', file),
      hidden,
      positions: requireInt(config, 'n_positions', file),
      layers,
      heads,
      headDim,
      tied: requireBoolean(config, 'tie_word_embeddings', file, true),
      epsilon: requireNumber(config, 'layer_norm_epsilon', file, 1e-5),
      std,
      attentionDropout: requireNumber(config, 'attn_pdrop', file, 0.1),
      embedDropout: requireNumber(config, 'embd_pdrop', file, 0.1),
      residDropout: requireNumber(config, 'resid_pdrop', file, 0.1),
    };
    return gptDecoder(shape, {
      attentionSpecs: (name) => [
        ...conv1dSpecs(`${name}.attn.c_attn`, hidden, 3 * hidden, std),
        ...conv1dSpecs(`${name}.attn.c_proj`, hidden, hidden, residStd),
      ],
      mlpSpecs: (name) => [
        ...conv1dSpecs(`${name}.mlp.c_fc`, hidden, inner, std),
        ...conv1dSpecs(`${name}.mlp.c_proj`, inner, hidden, residStd),
      ],
      attention(context, h, name, layer) {
        const { g, ids, attend } = context;
        const [q, k, v] = g
          .split(conv1d(context, h, `${name}.attn.c_attn`), [hidden, hidden, hidden], 1)
          .map((part) => g.reshape(part, [ids.shape[0]!, heads, headDim]));
        const scale = (scaled ? 1 / Math.sqrt(headDim) : 1) / (byLayer ? layer + 1 : 1);
        return conv1d(context, attend(q!, k!, v!, { layer, scale }), `${name}.attn.c_proj`);
      },
      mlp: (context, h, name) =>
        conv1d(context, act(context.g, conv1d(context, h, `${name}.mlp.c_fc`)), `${name}.mlp.c_proj`),
    });
  },
};
