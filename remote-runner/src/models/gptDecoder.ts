/**
 * What GPT-2 and its descendants with its tensor names share: learned positions, layers of x + attention(norm(x)) and
 * x + mlp(norm(x)), a last norm, a head that may be the token table.
 */
import type { Value } from '../graph/ir';
import { embedded, norm, normSpecs } from './blocks';
import { type BodyContext, type CausalLm, normal, type ParameterSpec } from './causalLm';
import { decoder } from './decoder';

export interface GptShape {
  readonly modelType: string;
  readonly vocab: number;
  readonly hidden: number;
  readonly positions: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly tied: boolean;
  readonly epsilon: number;
  /** `initializer_range`. */
  readonly std: number;
  readonly attentionDropout: number;
  readonly embedDropout: number;
  readonly residDropout: number;
}

/** One layer's two halves; `name` is where its tensors' names begin, `h` [tokens, hidden] has been normed. */
export interface GptLayer {
  attentionSpecs(name: string): ParameterSpec[];
  mlpSpecs(name: string): ParameterSpec[];
  attention(context: BodyContext, h: Value, name: string, layer: number): Value;
  mlp(context: BodyContext, h: Value, name: string): Value;
}

export function gptDecoder(of: GptShape, layer: GptLayer): CausalLm {
  const { hidden, positions, std, epsilon } = of;
  const table = 'transformer.wte.weight';
  const nameOf = (index: number) => `transformer.h.${index}`;
  return decoder({
    ...of,
    table,
    head: of.tied ? undefined : 'lm_head',
    first: [{ name: 'transformer.wpe.weight', shape: [positions, hidden], decay: true, init: normal(std) }],
    layer(index) {
      const name = nameOf(index);
      return [
        ...normSpecs(`${name}.ln_1`, hidden),
        ...layer.attentionSpecs(name),
        ...normSpecs(`${name}.ln_2`, hidden),
        ...layer.mlpSpecs(name),
      ];
    },
    last: normSpecs('transformer.ln_f', hidden),
    body(context) {
      const { g, param, positions: at, dropout } = context;
      const tokens = g.add(embedded(context, { name: table }), g.gather(param('transformer.wpe.weight'), at));
      return {
        embedded: dropout(tokens, of.embedDropout),
        layer(x, index) {
          const name = nameOf(index);
          const after = g.scope(`h.${index}/attn`, () => {
            const mixed = layer.attention(context, norm(context, x, `${name}.ln_1`, epsilon), name, index);
            return g.add(x, dropout(mixed, of.residDropout));
          });
          return g.scope(`h.${index}/mlp`, () => {
            const h = layer.mlp(context, norm(context, after, `${name}.ln_2`, epsilon), name);
            return g.add(after, dropout(h, of.residDropout));
          });
        },
        last: (x) => g.scope('ln_f', () => norm(context, x, 'transformer.ln_f', epsilon)),
      };
    },
  });
}
