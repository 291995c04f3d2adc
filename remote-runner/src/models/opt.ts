/** OPT (Zhang et al. 2022): learned positions that begin at 2, norms before or behind each half of a layer. */
import type { Value } from '../graph/ir';
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import { activation, divisible, embedded, linear, linearSpecs, norm, normSpecs, paddingOf, refuse } from './blocks';
import { type Architecture, type CausalLm, normal, type ParameterSpec } from './causalLm';
import { decoder } from './decoder';

const TABLE = 'model.decoder.embed_tokens.weight';
const POSITIONS = 'model.decoder.embed_positions.weight';
/** Rows of the table of positions in front of the first one: what fairseq kept for padding. */
const OFFSET = 2;

export const opt: Architecture = {
  modelType: 'opt',
  optionalPrefix: 'model.',
  ignored: /^$/,
  parse(config, file): CausalLm {
    refuse(config, 'layer_norm_elementwise_affine', [true], file);
    refuse(config, 'layerdrop', [0], file);
    const vocab = requireInt(config, 'vocab_size', file);
    const hidden = requireInt(config, 'hidden_size', file);
    const padding = paddingOf(config, vocab, 1);
    const width = requireInt(config, 'word_embed_proj_dim', file, hidden);
    const inner = requireInt(config, 'ffn_dim', file);
    const layers = requireInt(config, 'num_hidden_layers', file);
    const heads = requireInt(config, 'num_attention_heads', file);
    const positions = requireInt(config, 'max_position_embeddings', file);
    const headDim = divisible(hidden, heads, 'hidden_size', file);
    const std = requireNumber(config, 'init_std', file, 0.02);
    const bias = requireBoolean(config, 'enable_bias', file, true);
    const isBefore = requireBoolean(config, 'do_layer_norm_before', file, true);
    const hasLastNorm = isBefore && !requireBoolean(config, '_remove_final_layer_norm', file, false);
    const tied = requireBoolean(config, 'tie_word_embeddings', file, true);
    const drop = requireNumber(config, 'dropout', file, 0.1);
    const act = activation(requireString(config, 'activation_function', file, 'relu'), file);
    const epsilon = 1e-5;

    const nameOf = (layer: number) => `model.decoder.layers.${layer}`;
    const layerSpecs = (name: string): ParameterSpec[] => [
      ...['k_proj', 'v_proj', 'q_proj', 'out_proj'].flatMap((part) =>
        linearSpecs(`${name}.self_attn.${part}`, hidden, hidden, bias, std),
      ),
      ...normSpecs(`${name}.self_attn_layer_norm`, hidden),
      ...linearSpecs(`${name}.fc1`, inner, hidden, bias, std),
      ...linearSpecs(`${name}.fc2`, hidden, inner, bias, std),
      ...normSpecs(`${name}.final_layer_norm`, hidden),
    ];
    const projections = [
      ...linearSpecs('model.decoder.project_out', width, hidden, false, std),
      ...linearSpecs('model.decoder.project_in', hidden, width, false, std),
    ];
    return decoder({
      ...{ modelType: 'opt', vocab, hidden: width, positions, layers, heads, headDim, std, table: TABLE },
      head: tied ? undefined : 'lm_head',
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
      first: [
        { name: POSITIONS, shape: [positions + OFFSET, hidden], decay: true, init: normal(std) },
        ...(width === hidden ? [] : projections),
      ],
      layer: (index) => layerSpecs(nameOf(index)),
      last: hasLastNorm ? normSpecs('model.decoder.final_layer_norm', hidden) : [],
      body(context) {
        const { g, param, ids, positions: at, attend, dropout } = context;
        const around = (x: Value, normName: string, half: (h: Value) => Value): Value => {
          const sum = g.add(x, dropout(half(isBefore ? norm(context, x, normName, epsilon) : x), drop));
          return isBefore ? sum : norm(context, sum, normName, epsilon);
        };
        const tokens = embedded(context, { name: TABLE, padding });
        const wide = width === hidden ? tokens : linear(context, tokens, 'model.decoder.project_in', false);
        return {
          embedded: g.add(wide, g.gather(param(POSITIONS), g.add(at, OFFSET))),
          layer(x, layer) {
            const name = nameOf(layer);
            const after = g.scope(`layers.${layer}/attn`, () =>
              around(x, `${name}.self_attn_layer_norm`, (h) => {
                const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((part) =>
                  g.reshape(linear(context, h, `${name}.self_attn.${part}`, bias), [ids.shape[0]!, heads, headDim]),
                );
                const seen = attend(q!, k!, v!, { layer, scale: 1 / Math.sqrt(headDim) });
                return linear(context, seen, `${name}.self_attn.out_proj`, bias);
              }),
            );
            return g.scope(`layers.${layer}/mlp`, () =>
              around(after, `${name}.final_layer_norm`, (h) =>
                linear(context, act(g, linear(context, h, `${name}.fc1`, bias)), `${name}.fc2`, bias),
              ),
            );
          },
          last: (x) =>
            g.scope('norm', () => {
              const normed = hasLastNorm ? norm(context, x, 'model.decoder.final_layer_norm', epsilon) : x;
              return width === hidden ? normed : linear(context, normed, 'model.decoder.project_out', false);
            }),
        };
      },
    });
  },
};
