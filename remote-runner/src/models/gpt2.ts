/** GPT-2 (Radford et al. 2019), as transformers' `GPT2LMHeadModel` computes it. */
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import { activation, conv1d, conv1dSpecs, divisible, linearSpecs, norm, normSpecs, refuse } from './blocks';
import { type Architecture, type CausalLm, normal, type ParameterSpec } from './causalLm';

export const gpt2: Architecture = {
  modelType: 'gpt2',
  optionalPrefix: 'transformer.',
  ignored: /\.attn\.(bias|masked_bias)$/,
  parse(config, file): CausalLm {
    refuse(config, 'add_cross_attention', [false], file);
    const hidden = requireInt(config, 'n_embd', file);
    const layers = requireInt(config, 'n_layer', file);
    const heads = requireInt(config, 'n_head', file);
    const vocab = requireInt(config, 'vocab_size', file);
    const positions = requireInt(config, 'n_positions', file);
    const inner = typeof config.n_inner === 'number' ? config.n_inner : 4 * hidden;
    const epsilon = requireNumber(config, 'layer_norm_epsilon', file, 1e-5);
    const act = activation(requireString(config, 'activation_function', file, 'gelu_new'), file);
    const tied = requireBoolean(config, 'tie_word_embeddings', file, true);
    const scaled = requireBoolean(config, 'scale_attn_weights', file, true);
    const byLayer = requireBoolean(config, 'scale_attn_by_inverse_layer_idx', file, false);
    const headDim = divisible(hidden, heads, 'n_embd', file);
    const std = requireNumber(config, 'initializer_range', file, 0.02);
    // Residual projections start smaller, by the depth (GPT-2 paper, section 2.3).
    const residStd = std / Math.sqrt(2 * layers);
    const embedDropout = requireNumber(config, 'embd_pdrop', file, 0.1);
    const residDropout = requireNumber(config, 'resid_pdrop', file, 0.1);

    const parameters: ParameterSpec[] = [
      { name: 'transformer.wte.weight', shape: [vocab, hidden], decay: true, init: normal(std) },
      { name: 'transformer.wpe.weight', shape: [positions, hidden], decay: true, init: normal(std) },
    ];
    for (let i = 0; i < layers; i++) {
      const at = `transformer.h.${i}`;
      parameters.push(
        ...normSpecs(`${at}.ln_1`, hidden),
        ...conv1dSpecs(`${at}.attn.c_attn`, hidden, 3 * hidden, std),
        ...conv1dSpecs(`${at}.attn.c_proj`, hidden, hidden, residStd),
        ...normSpecs(`${at}.ln_2`, hidden),
        ...conv1dSpecs(`${at}.mlp.c_fc`, hidden, inner, std),
        ...conv1dSpecs(`${at}.mlp.c_proj`, inner, hidden, residStd),
      );
    }
    parameters.push(...normSpecs('transformer.ln_f', hidden));
    if (!tied) parameters.push(...linearSpecs('lm_head', vocab, hidden, false, std));

    return {
      modelType: 'gpt2',
      vocabSize: vocab,
      hiddenSize: hidden,
      maxPositions: positions,
      layers,
      heads,
      kvHeads: heads,
      headDim,
      attentionDropout: requireNumber(config, 'attn_pdrop', file, 0.1),
      parameters,
      embedding: 'transformer.wte.weight',
      headWeight: tied ? 'transformer.wte.weight' : 'lm_head.weight',
      body(context) {
        const { g, param, ids, positions: at, attend, dropout } = context;
        const tokens = ids.shape[0]!;
        const embedded = g.add(
          g.gather(param('transformer.wte.weight'), ids),
          g.gather(param('transformer.wpe.weight'), at),
        );
        let x = dropout(embedded, embedDropout);
        for (let layer = 0; layer < layers; layer++) {
          const name = `transformer.h.${layer}`;
          x = g.scope(`h.${layer}/attn`, () => {
            const qkv = conv1d(context, norm(context, x, `${name}.ln_1`, epsilon), `${name}.attn.c_attn`);
            const [q, k, v] = g
              .split(qkv, [hidden, hidden, hidden], 1)
              .map((part) => g.reshape(part, [tokens, heads, headDim]));
            const scale = (scaled ? 1 / Math.sqrt(headDim) : 1) / (byLayer ? layer + 1 : 1);
            const mixed = attend(q!, k!, v!, { layer, scale });
            return g.add(x, dropout(conv1d(context, mixed, `${name}.attn.c_proj`), residDropout));
          });
          x = g.scope(`h.${layer}/mlp`, () => {
            const h = act(g, conv1d(context, norm(context, x, `${name}.ln_2`, epsilon), `${name}.mlp.c_fc`));
            return g.add(x, dropout(conv1d(context, h, `${name}.mlp.c_proj`), residDropout));
          });
        }
        return g.scope('ln_f', () => norm(context, x, 'transformer.ln_f', epsilon));
      },
    };
  },
};
