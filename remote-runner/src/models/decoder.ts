/** An embedding, layers and what is behind them: what decoders share, whatever their layers are. */
import type { Value } from '../graph/ir';
import { linearSpecs } from './blocks';
import { type BodyContext, type CausalLm, normal, type ParameterSpec } from './causalLm';

export interface DecoderSpec {
  readonly modelType: string;
  readonly vocab: number;
  /** Of the token table and of what the head sees. */
  readonly hidden: number;
  readonly positions: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  /** `initializer_range`. */
  readonly std: number;
  readonly attentionDropout: number;
  /** The token table's name. */
  readonly table: string;
  /** Where a head's name begins that is not the token table. */
  readonly head?: string | undefined;
  /** Between the token table and the layers. */
  readonly first?: readonly ParameterSpec[];
  layer(index: number): readonly ParameterSpec[];
  readonly last: readonly ParameterSpec[];
  body(context: BodyContext): DecoderBody;
}

export interface DecoderBody {
  /** What enters the first layer, [N, width]. */
  readonly embedded: Value;
  layer(x: Value, index: number): Value;
  last(x: Value): Value;
}

export function decoder(of: DecoderSpec): CausalLm {
  return {
    modelType: of.modelType,
    vocabSize: of.vocab,
    hiddenSize: of.hidden,
    maxPositions: of.positions,
    layers: of.layers,
    heads: of.heads,
    kvHeads: of.heads,
    headDim: of.headDim,
    attentionDropout: of.attentionDropout,
    parameters: [
      { name: of.table, shape: [of.vocab, of.hidden], decay: true, init: normal(of.std) },
      ...(of.first ?? []),
      ...Array.from({ length: of.layers }, (_, i) => of.layer(i)).flat(),
      ...of.last,
      ...(of.head === undefined ? [] : linearSpecs(of.head, of.vocab, of.hidden, false, of.std)),
    ],
    embedding: of.table,
    headWeight: of.head === undefined ? of.table : `${of.head}.weight`,
    body(context) {
      const { embedded, layer, last } = of.body(context);
      let x = embedded;
      for (let i = 0; i < of.layers; i++) {
        context.enters?.(x);
        x = layer(x, i);
      }
      context.enters?.(x);
      return last(x);
    },
  };
}
