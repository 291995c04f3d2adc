/** OPT (Zhang et al. 2022): learned positions that begin at 2, norms before or behind each half of a layer. */
import { requireBoolean, requireInt, requireNumber, requireString } from '../hub/configValues';
import { activation, divisible, linear, linearSpecs, norm, normSpecs, refuse } from './blocks';
import { type Architecture, type CausalLm, normal, type ParameterSpec } from './causalLm';

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
    const embedded = requireInt(config, 'word_embed_proj_dim', file, hidden);
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
    return {
      modelType: 'opt',
      vocabSize: vocab,
      hiddenSize: embedded,
      maxPositions: positions,
      layers,
      heads,
      kvHeads: heads,
      headDim,
      attentionDropout: requireNumber(config, 'attention_dropout', file, 0),
      parameters: [
        { name: TABLE, shape: [vocab, embedded], decay: true, init: normal(std) },
        { name: POSITIONS, shape: [positions + OFFSET, hidden], decay: true, init: normal(std) },
        ...(embedded === hidden
          ? []
          : [
              ...linearSpecs('model.decoder.project_out', embedded, hidden, false, std),
              ...linearSpecs('model.decoder.project_in', hidden, embedded, false, std),
            ]),
        ...Array.from({ length: layers }, (_, i) => layerSpecs(nameOf(i))).flat(),
        ...(hasLastNorm ? normSpecs('model.decoder.final_layer_norm', hidden) : []),
        ...(tied ? [] : linearSpecs('lm_head', vocab, embedded, false, std)),
      ],
      embedding: TABLE,
      headWeight: tied ? TABLE : 'lm_head.weight',
      body(context) {
        const { g, param, ids, positions: at, attend, dropout } = context;
        const tokens = g.gather(param(TABLE), ids);
        const wide = embedded === hidden ? tokens : linear(context, tokens, 'model.decoder.project_in', false);
        let x = g.add(wide, g.gather(param(POSITIONS), g.add(at, OFFSET)));
        for (let layer = 0; layer < layers; layer++) {
          const name = nameOf(layer);
          const around = (normName: string, half: (h: typeof x) => typeof x) => {
            const normed = (h: typeof x) => norm(context, h, `${name}.${normName}`, epsilon);
            const sum = g.add(x, dropout(half(isBefore ? normed(x) : x), drop));
            return isBefore ? sum : normed(sum);
          };
          context.enters?.(x);
          x = g.scope(`layers.${layer}/attn`, () =>
            around('self_attn_layer_norm', (h) => {
              const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((part) =>
                g.reshape(linear(context, h, `${name}.self_attn.${part}`, bias), [ids.shape[0]!, heads, headDim]),
              );
              const seen = attend(q!, k!, v!, { layer, scale: 1 / Math.sqrt(headDim) });
              return linear(context, seen, `${name}.self_attn.out_proj`, bias);
            }),
          );
          x = g.scope(`layers.${layer}/mlp`, () =>
            around('final_layer_norm', (h) =>
              linear(context, act(g, linear(context, h, `${name}.fc1`, bias)), `${name}.fc2`, bias),
            ),
          );
        }
        context.enters?.(x);
        return g.scope('norm', () => {
          const last = hasLastNorm ? norm(context, x, 'model.decoder.final_layer_norm', epsilon) : x;
          return embedded === hidden ? last : linear(context, last, 'model.decoder.project_out', false);
        });
      },
    };
  },
};
