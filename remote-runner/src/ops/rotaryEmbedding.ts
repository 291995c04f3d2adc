import { formatShape, GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireDType, requireFloat, requireRank } from './typeRules';

/**
 * Turns pairs of numbers of each head: of the first `rotary_embedding_dim` (0: all), one of the first half goes with one of
 * the second; the others stay. Inputs: x [1, N, num_heads · d], int64 [1, N] that says which row of the tables is each
 * token's, cos and sin [M, dim / 2]. A turn by the opposite angle takes it back: that is the gradient.
 *
 * Source: com.microsoft.RotaryEmbedding in ONNX Runtime's ContribOperators.md.
 */
export const rotaryEmbedding: OpDef = {
  name: 'RotaryEmbedding',
  domain: 'com.microsoft',
  infer: (inputs, attributes) => {
    const [x, rows, cos, sin] = [given(inputs, 0), given(inputs, 1), given(inputs, 2), given(inputs, 3)];
    requireFloat(x);
    requireRank(x, 'x', 3);
    requireDType(rows, 'the rows', 'int64');
    const headDim = x.shape[2]! / numberAttribute(attributes, 'num_heads');
    const half = (numberAttribute(attributes, 'rotary_embedding_dim') || headDim) / 2;
    for (const table of [cos, sin]) {
      requireRank(table, 'tables', 2);
      if (table.shape[1] !== half)
        throw new GraphError(`tables must have ${half} columns, not ${formatShape(table.shape)}`);
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  gradient: differentiable(({ g, dy, input, node }) => {
    const back = [dy, input(1), input(2), g.neg(input(3))];
    return [g.apply('RotaryEmbedding', back, node.attributes), null, null, null];
  }),
  examples: [
    {
      name: 'a quarter turn and none',
      inputs: [
        { shape: [1, 2, 4], data: [1, 2, 3, 4, 5, 6, 7, 8] },
        { dtype: 'int64', shape: [1, 2], data: [1, 0] },
        { shape: [2, 1], data: [1, 0] },
        { shape: [2, 1], data: [0, 1] },
      ],
      attributes: { num_heads: 2, rotary_embedding_dim: 0 },
      shapes: [[1, 2, 4]],
      expect: [-2, 1, -4, 3, 5, 6, 7, 8],
      check: [0],
    },
    {
      name: 'half of each head',
      inputs: [
        { shape: [1, 3, 16], range: [-1, 1] },
        { dtype: 'int64', shape: [1, 3], data: [0, 1, 2] },
        { shape: [3, 2], data: [1, 0.8, 0.6, 0, -0.8, -1] },
        { shape: [3, 2], data: [0, 0.6, 0.8, 1, 0.6, 0] },
      ],
      attributes: { num_heads: 2, rotary_embedding_dim: 4 },
      shapes: [[1, 3, 16]],
      check: [0],
    },
  ],
};
