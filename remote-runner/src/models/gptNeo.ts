/** GPT-Neo (Black et al. 2021): GPT-2 with every other layer's attention limited to a local window; unscaled scores. */
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import { activation, divisible, linear, linearSpecs, norm, normSpecs } from './blocks';
import { type Architecture, type CausalLm, normal, type ParameterSpec } from './causalLm';

type LayerKind = 'global' | 'local';

export const gptNeo: Architecture = {
  modelType: 'gpt_neo',
  optionalPrefix: 'transformer.',
  ignored: /\.attn\.attention\.(bias|masked_bias)$/,
  parse(config, file): CausalLm {
    const hidden = requireInt(config, 'hidden_size', file);
    const layers = requireInt(config, 'num_layers', file);
    const heads = requireInt(config, 'num_heads', file);
    const vocab = requireInt(config, 'vocab_size', file);
    const positions = requireInt(config, 'max_position_embeddings', file);
    const inner = typeof config.intermediate_size === 'number' ? config.intermediate_size : 4 * hidden;
    const epsilon = requireNumber(config, 'layer_norm_epsilon', file, 1e-5);
    const window = requireInt(config, 'window_size', file, 256);
    const act = activation(requireString(config, 'activation_function', file, 'gelu_new'), file);
    const tied = requireBoolean(config, 'tie_word_embeddings', file, true);
    const kinds = layerKinds(config, layers, file);
    const headDim = divisible(hidden, heads, 'hidden_size', file);
    const std = requireNumber(config, 'initializer_range', file, 0.02);
    const embedDropout = requireNumber(config, 'embed_dropout', file, 0);
    const residDropout = requireNumber(config, 'resid_dropout', file, 0);

    const parameters: ParameterSpec[] = [
      { name: 'transformer.wte.weight', shape: [vocab, hidden], decay: true, init: normal(std) },
      { name: 'transformer.wpe.weight', shape: [positions, hidden], decay: true, init: normal(std) },
    ];
    for (let i = 0; i < layers; i++) {
      const at = `transformer.h.${i}`;
      parameters.push(
        ...normSpecs(`${at}.ln_1`, hidden),
        ...['q_proj', 'k_proj', 'v_proj'].flatMap((p) =>
          linearSpecs(`${at}.attn.attention.${p}`, hidden, hidden, false, std),
        ),
        ...linearSpecs(`${at}.attn.attention.out_proj`, hidden, hidden, true, std),
        ...normSpecs(`${at}.ln_2`, hidden),
        ...linearSpecs(`${at}.mlp.c_fc`, inner, hidden, true, std),
        ...linearSpecs(`${at}.mlp.c_proj`, hidden, inner, true, std),
      );
    }
    parameters.push(...normSpecs('transformer.ln_f', hidden));
    if (!tied) parameters.push(...linearSpecs('lm_head', vocab, hidden, false, std));

    return {
      modelType: 'gpt_neo',
      vocabSize: vocab,
      hiddenSize: hidden,
      maxPositions: positions,
      layers,
      heads,
      kvHeads: heads,
      headDim,
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
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
            const h = norm(context, x, `${name}.ln_1`, epsilon);
            const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((p) =>
              g.reshape(linear(context, h, `${name}.attn.attention.${p}`, false), [tokens, heads, headDim]),
            );
            const mixed = attend(q!, k!, v!, { layer, scale: 1, ...(kinds[layer] === 'local' ? { window } : {}) });
            const out = linear(context, mixed, `${name}.attn.attention.out_proj`, true);
            return g.add(x, dropout(out, residDropout));
          });
          x = g.scope(`h.${layer}/mlp`, () => {
            const h = norm(context, x, `${name}.ln_2`, epsilon);
            const out = linear(
              context,
              act(g, linear(context, h, `${name}.mlp.c_fc`, true)),
              `${name}.mlp.c_proj`,
              true,
            );
            return g.add(x, dropout(out, residDropout));
          });
        }
        return g.scope('ln_f', () => norm(context, x, 'transformer.ln_f', epsilon));
      },
    };
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
