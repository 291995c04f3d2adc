/**
 * What GPT-2 and its descendants with its tensor names share: learned positions, layers of x + attention(norm(x)) and
 * x + mlp(norm(x)), a last norm, a head that may be the token table.
 */
import type { Value } from '../graph/ir';
import { linearSpecs, norm, normSpecs } from './blocks';
import { type BodyContext, type CausalLm, normal, type ParameterSpec } from './causalLm';

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
  const { vocab, hidden, positions, tied, std, epsilon } = of;
  const table = 'transformer.wte.weight';
  const nameOf = (index: number) => `transformer.h.${index}`;
  const parameters: ParameterSpec[] = [
    { name: table, shape: [vocab, hidden], decay: true, init: normal(std) },
    { name: 'transformer.wpe.weight', shape: [positions, hidden], decay: true, init: normal(std) },
  ];
  for (let i = 0; i < of.layers; i++) {
    const name = nameOf(i);
    parameters.push(
      ...normSpecs(`${name}.ln_1`, hidden),
      ...layer.attentionSpecs(name),
      ...normSpecs(`${name}.ln_2`, hidden),
      ...layer.mlpSpecs(name),
    );
  }
  parameters.push(...normSpecs('transformer.ln_f', hidden));
  if (!tied) parameters.push(...linearSpecs('lm_head', vocab, hidden, false, std));

  return {
    modelType: of.modelType,
    vocabSize: vocab,
    hiddenSize: hidden,
    maxPositions: positions,
    layers: of.layers,
    heads: of.heads,
    kvHeads: of.heads,
    headDim: of.headDim,
    attentionDropout: of.attentionDropout,
    parameters,
    embedding: table,
    headWeight: tied ? table : 'lm_head.weight',
    body(context) {
      const { g, param, ids, positions: at, dropout } = context;
      const embedded = g.add(g.gather(param(table), ids), g.gather(param('transformer.wpe.weight'), at));
      let x = dropout(embedded, of.embedDropout);
      for (let i = 0; i < of.layers; i++) {
        const name = nameOf(i);
        context.enters?.(x);
        x = g.scope(`h.${i}/attn`, () => {
          const mixed = layer.attention(context, norm(context, x, `${name}.ln_1`, epsilon), name, i);
          return g.add(x, dropout(mixed, of.residDropout));
        });
        x = g.scope(`h.${i}/mlp`, () => {
          const h = layer.mlp(context, norm(context, x, `${name}.ln_2`, epsilon), name);
          return g.add(x, dropout(h, of.residDropout));
        });
      }
      context.enters?.(x);
      return g.scope('ln_f', () => norm(context, x, 'transformer.ln_f', epsilon));
    },
  };
}
