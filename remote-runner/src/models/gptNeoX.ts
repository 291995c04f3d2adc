/** GPT-NeoX and Pythia (Black et al. 2022, Biderman et al. 2023): rotary positions on a part of each head, both halves of a layer side by side. */
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import { activation, divisible, embedded, linear, linearSpecs, norm, normSpecs, splitHeads } from './blocks';
import type { Architecture, CausalLm, ParameterSpec } from './causalLm';
import { decoder } from './decoder';
import { rotaryOf, rotate, rotations } from './rotary';

const TABLE = 'gpt_neox.embed_in.weight';

export const gptNeoX: Architecture = {
  modelType: 'gpt_neox',
  optionalPrefix: 'gpt_neox.',
  ignored: /\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  parse(config, file): CausalLm {
    const vocab = requireInt(config, 'vocab_size', file);
    const hidden = requireInt(config, 'hidden_size', file);
    const inner = requireInt(config, 'intermediate_size', file);
    const layers = requireInt(config, 'num_hidden_layers', file);
    const heads = requireInt(config, 'num_attention_heads', file);
    const headDim = divisible(hidden, heads, 'hidden_size', file);
    const epsilon = requireNumber(config, 'layer_norm_eps', file, 1e-5);
    const std = requireNumber(config, 'initializer_range', file, 0.02);
    const bias = requireBoolean(config, 'attention_bias', file, true);
    const isParallel = requireBoolean(config, 'use_parallel_residual', file, true);
    const tied = requireBoolean(config, 'tie_word_embeddings', file, false);
    const drop = requireNumber(config, 'hidden_dropout', file, 0);
    const act = activation(requireString(config, 'hidden_act', file, 'gelu'), file);
    // Before transformers 5 the share that is rotated, and the base, had names of their own.
    const rotary = rotaryOf({ ...config, partial_rotary_factor: config.rotary_pct ?? 0.25 }, file, {
      headDim,
      theta: requireNumber(config, 'rotary_emb_base', file, 10_000),
    });

    const nameOf = (layer: number) => `gpt_neox.layers.${layer}`;
    const layerSpecs = (name: string): ParameterSpec[] => [
      ...normSpecs(`${name}.input_layernorm`, hidden),
      ...normSpecs(`${name}.post_attention_layernorm`, hidden),
      ...linearSpecs(`${name}.attention.query_key_value`, 3 * hidden, hidden, bias, std),
      ...linearSpecs(`${name}.attention.dense`, hidden, hidden, bias, std),
      ...linearSpecs(`${name}.mlp.dense_h_to_4h`, inner, hidden, true, std),
      ...linearSpecs(`${name}.mlp.dense_4h_to_h`, hidden, inner, true, std),
    ];
    return decoder({
      ...{ modelType: 'gpt_neox', vocab, hidden, layers, heads, headDim, std, table: TABLE },
      head: tied ? undefined : 'embed_out',
      positions: requireInt(config, 'max_position_embeddings', file),
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
      layer: (index) => layerSpecs(nameOf(index)),
      last: normSpecs('gpt_neox.final_layer_norm', hidden),
      body(context) {
        const { g, positions, attend, dropout } = context;
        const turn = rotations(g, positions, rotary);
        return {
          embedded: dropout(embedded(context, { name: TABLE }), drop),
          layer(x, layer) {
            const name = nameOf(layer);
            const mixed = g.scope(`layers.${layer}/attn`, () => {
              const h = norm(context, x, `${name}.input_layernorm`, epsilon);
              const [q, k, v] = splitHeads(g, linear(context, h, `${name}.attention.query_key_value`, bias), heads);
              const seen = attend(rotate(g, q, turn), rotate(g, k, turn), v, { layer, scale: 1 / Math.sqrt(headDim) });
              return dropout(linear(context, seen, `${name}.attention.dense`, bias), drop);
            });
            return g.scope(`layers.${layer}/mlp`, () => {
              const after = g.add(x, mixed);
              const h = norm(context, isParallel ? x : after, `${name}.post_attention_layernorm`, epsilon);
              const wide = act(g, linear(context, h, `${name}.mlp.dense_h_to_4h`, true));
              return g.add(after, dropout(linear(context, wide, `${name}.mlp.dense_4h_to_h`, true), drop));
            });
          },
          last: (x) => g.scope('norm', () => norm(context, x, 'gpt_neox.final_layer_norm', epsilon)),
        };
      },
    });
  },
};
