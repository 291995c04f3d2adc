import { GraphError } from '../graph/ir';
import { type OpDef, unsupportedGradient } from './op';
import { given, numberAttribute, requireFloat, requireRank, requireSameDType } from './typeRules';

/**
 * softmax(scale · Q Kᵀ) V for each of `num_heads` heads, of queries, keys and values [B, T, num_heads · d]; with
 * `unidirectional` 1 a token sees what is before it, and itself. One kernel, which on a GPU never has the scores in memory
 * (FlashAttention, Dao et al. 2022).
 *
 * Source: com.microsoft.MultiHeadAttention in ONNX Runtime's ContribOperators.md.
 */
export const multiHeadAttention: OpDef = {
  name: 'MultiHeadAttention',
  domain: 'com.microsoft',
  infer: (inputs, attributes) => {
    const [q, k, v] = [0, 1, 2].map((i) => given(inputs, i)) as [
      ReturnType<typeof given>,
      ...ReturnType<typeof given>[],
    ];
    requireFloat(q);
    requireSameDType(q, k!);
    requireSameDType(q, v!);
    requireRank(q, 'queries', 3);
    if (q.shape[2]! % numberAttribute(attributes, 'num_heads') !== 0) throw new GraphError('heads must be of one size');
    return [{ dtype: q.dtype, shape: q.shape }];
  },
  gradient: unsupportedGradient('it stands for attention that is written out, and that has one'),
  examples: [
    {
      name: 'two tokens, of which the first sees itself alone',
      inputs: [
        { shape: [1, 2, 1], data: [1, 1] },
        { shape: [1, 2, 1], data: [0, 1] },
        { shape: [1, 2, 1], data: [1, 3] },
      ],
      attributes: { num_heads: 1, unidirectional: 1, scale: 1 },
      shapes: [[1, 2, 1]],
      expect: [1, 2.462117],
    },
  ],
};
