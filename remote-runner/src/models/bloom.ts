/** BLOOM and BLOOMZ (Le Scao et al. 2022): no positions but ALiBi's slopes in attention, a norm behind the embedding. */
import { TuneyardError } from '@protocol/errors';
import { requireBoolean, requireInt, requireNumber } from '../hub/configValues';
import type { ModelConfig } from '../hub/modelDir';
import { divisible, embedded, linear, linearSpecs, norm, normSpecs, splitHeads } from './blocks';
import type { Architecture, CausalLm, ParameterSpec } from './causalLm';
import { decoder } from './decoder';

const TABLE = 'transformer.word_embeddings.weight';

/**
 * What each head's scores fall by with every token of distance (Press, Smith & Lewis 2022): a geometric sequence for a
 * power of two, and every other one of the next sequence for the heads beyond.
 */
function alibiSlopes(heads: number): Float32Array {
  const power = 2 ** Math.floor(Math.log2(heads));
  const sequence = (length: number) => Array.from({ length }, (_, i) => 2 ** ((-8 * (i + 1)) / length));
  const beyond = sequence(2 * power).filter((_, i) => i % 2 === 0);
  return Float32Array.from([...sequence(power), ...beyond.slice(0, heads - power)]);
}

export const bloom: Architecture = {
  modelType: 'bloom',
  optionalPrefix: 'transformer.',
  ignored: /^$/,
  parse(config, file): CausalLm {
    // Files of different ages have different names for the same.
    const either = (...keys: string[]) =>
      requireInt(config, keys.find((key) => typeof config[key] === 'number') ?? keys[0]!, file);
    const vocab = requireInt(config, 'vocab_size', file);
    const hidden = either('hidden_size', 'n_embed');
    const layers = either('n_layer', 'num_hidden_layers');
    const heads = either('n_head', 'num_attention_heads');
    const headDim = divisible(hidden, heads, 'hidden_size', file);
    const epsilon = requireNumber(config, 'layer_norm_epsilon', file, 1e-5);
    const std = requireNumber(config, 'initializer_range', file, 0.02);
    const fromNormed = requireBoolean(config, 'apply_residual_connection_post_layernorm', file, false);
    const drop = requireNumber(config, 'hidden_dropout', file, 0);
    requireTied(config, file);
    const slopes = alibiSlopes(heads);

    const nameOf = (layer: number) => `transformer.h.${layer}`;
    const layerSpecs = (name: string): ParameterSpec[] => [
      ...normSpecs(`${name}.input_layernorm`, hidden),
      ...linearSpecs(`${name}.self_attention.query_key_value`, 3 * hidden, hidden, true, std),
      ...linearSpecs(`${name}.self_attention.dense`, hidden, hidden, true, std),
      ...normSpecs(`${name}.post_attention_layernorm`, hidden),
      ...linearSpecs(`${name}.mlp.dense_h_to_4h`, 4 * hidden, hidden, true, std),
      ...linearSpecs(`${name}.mlp.dense_4h_to_h`, hidden, 4 * hidden, true, std),
    ];
    return decoder({
      ...{ modelType: 'bloom', vocab, hidden, layers, heads, headDim, std, table: TABLE },
      // Slopes know no end; it is what the models were trained on.
      positions: requireInt(config, 'seq_length', file, 2048),
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
      first: normSpecs('transformer.word_embeddings_layernorm', hidden),
      layer: (index) => layerSpecs(nameOf(index)),
      last: normSpecs('transformer.ln_f', hidden),
      body(context) {
        const { g, attend, dropout } = context;
        return {
          embedded: norm(context, embedded(context, { name: TABLE }), 'transformer.word_embeddings_layernorm', epsilon),
          layer(x, layer) {
            const name = nameOf(layer);
            const after = g.scope(`h.${layer}/attn`, () => {
              const h = norm(context, x, `${name}.input_layernorm`, epsilon);
              const y = linear(context, h, `${name}.self_attention.query_key_value`, true);
              const [q, k, v] = splitHeads(g, y, heads);
              const seen = attend(q, k, v, { layer, scale: 1 / Math.sqrt(headDim), slopes });
              const mixed = dropout(linear(context, seen, `${name}.self_attention.dense`, true), drop);
              return g.add(fromNormed ? h : x, mixed);
            });
            return g.scope(`h.${layer}/mlp`, () => {
              const h = norm(context, after, `${name}.post_attention_layernorm`, epsilon);
              const wide = g.fastGelu(linear(context, h, `${name}.mlp.dense_h_to_4h`, true));
              const made = dropout(linear(context, wide, `${name}.mlp.dense_4h_to_h`, true), drop);
              return g.add(fromNormed ? h : after, made);
            });
          },
          last: (x) => g.scope('ln_f', () => norm(context, x, 'transformer.ln_f', epsilon)),
        };
      },
    });
  },
};

function requireTied(config: ModelConfig, file: string): void {
  if (requireBoolean(config, 'tie_word_embeddings', file, true)) return;
  throw new TuneyardError('model_unsupported', 'a BLOOM whose head is not its embedding is not supported.', {
    place: { file },
  });
}
