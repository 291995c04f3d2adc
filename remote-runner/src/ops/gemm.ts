import type { Attributes } from '../graph/ir';
import { formatShape, GraphError, type Value } from '../graph/ir';
import { broadcastShapes } from '../graph/shape';
import { productType } from './matrixRules';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireSameDType } from './typeRules';

/**
 * Y = alpha · op(A) · op(B) + C over matrices [m, k] and [k, n]; C is optional and broadcasts to [m, n].
 * dA and dB are Gemms with flags (never a transpose), dC is dY, which the driver sums back to C's shape.
 */
export const gemm: OpDef = {
  name: 'Gemm',
  infer: (inputs, attributes) => {
    const [a, b, c] = [given(inputs, 0), given(inputs, 1), inputs[2]];
    if (a.shape.length !== 2 || b.shape.length !== 2) {
      throw new GraphError(`wants two matrices, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`);
    }
    if (attributes.beta !== undefined && attributes.beta !== 1)
      throw new GraphError('beta other than 1 is not offered');
    const { transA, transB } = flags(attributes);
    const type = productType(a, b, transA, transB);
    if (c) {
      requireSameDType(a, c);
      if (broadcastShapes(type.shape, c.shape).join() !== type.shape.join()) {
        throw new GraphError(`the summand ${formatShape(c.shape)} does not fit ${formatShape(type.shape)}`);
      }
    }
    return [type];
  },
  gradient: differentiable((context) => {
    const { dy, node, needs, input } = context;
    const [a, b] = [input(0), input(1)];
    const { transA, transB, alpha } = flags(node.attributes);
    const product = (left: Value, right: Value, transLeft: boolean, transRight: boolean) =>
      context.g.apply('Gemm', [left, right], {
        transA: transLeft ? 1 : 0,
        transB: transRight ? 1 : 0,
        ...(alpha === 1 ? {} : { alpha }),
      });
    const da = () => (transA ? product(b, dy, transB, true) : product(dy, b, false, !transB));
    const db = () => (transB ? product(dy, a, true, transA) : product(a, dy, !transA, false));
    return [needs(0) ? da() : null, needs(1) ? db() : null, needs(2) ? dy : null];
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [1, 2], data: [1, 2] },
        { shape: [2, 2], data: [1, 2, 3, 4] },
        { shape: [2], data: [10, 20] },
      ],
      shapes: [[1, 2]],
      expect: [17, 30],
    },
    { name: 'no summand', inputs: [{ shape: [3, 4] }, { shape: [4, 2] }], shapes: [[3, 2]] },
    { name: 'a bias row', inputs: [{ shape: [3, 4] }, { shape: [4, 2] }, { shape: [2] }], shapes: [[3, 2]] },
    {
      name: 'a column, right transposed',
      inputs: [{ shape: [3, 4] }, { shape: [5, 4] }, { shape: [3, 1] }],
      attributes: { transB: 1 },
      shapes: [[3, 5]],
    },
    {
      name: 'a matrix, left transposed',
      inputs: [{ shape: [4, 3] }, { shape: [4, 5] }, { shape: [3, 5] }],
      attributes: { transA: 1 },
      shapes: [[3, 5]],
    },
    {
      name: 'a scalar, both transposed, scaled',
      inputs: [{ shape: [4, 3] }, { shape: [2, 4] }, { shape: [] }],
      attributes: { transA: 1, transB: 1, alpha: 0.5 },
      shapes: [[3, 2]],
    },
  ],
};

function flags(attributes: Attributes): { transA: boolean; transB: boolean; alpha: number } {
  return {
    transA: !!numberAttribute(attributes, 'transA', 0),
    transB: !!numberAttribute(attributes, 'transB', 0),
    alpha: numberAttribute(attributes, 'alpha', 1),
  };
}
