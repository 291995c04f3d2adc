import { formatShape, GraphError } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireDType } from './typeRules';

/** y[i][j] = x[i][indices[i][j]] for axis 1; y has the shape of `indices`. dx adds dy back at the same places. */
export const gatherElements: OpDef = {
  name: 'GatherElements',
  infer: (inputs, attributes) => {
    const [x, indices] = [given(inputs, 0), given(inputs, 1)];
    requireDType(indices, 'indices', 'int64', 'int32');
    const axis = normalizeAxis(numberAttribute(attributes, 'axis', 0), x.shape.length);
    if (indices.shape.length !== x.shape.length || indices.shape.some((n, i) => i !== axis && n > x.shape[i]!)) {
      throw new GraphError(`indices ${formatShape(indices.shape)} do not fit ${formatShape(x.shape)} off axis ${axis}`);
    }
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  gradient: differentiable(({ g, dy, node, needs, input }) => [
    needs(0)
      ? g.scatterAdd(g.zeros(input(0).shape, dy.dtype), input(1), dy, numberAttribute(node.attributes, 'axis', 0))
      : null,
    null,
  ]),
  examples: [
    {
      name: 'the logit of each label',
      inputs: [
        { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] },
        { dtype: 'int64', shape: [2, 1], data: [2, 0] },
      ],
      attributes: { axis: 1 },
      shapes: [[2, 1]],
      expect: [3, 4],
    },
    {
      name: 'repeated and negative ids',
      inputs: [{ shape: [3, 4] }, { dtype: 'int64', shape: [3, 3], data: [0, 0, -1, 1, 1, 1, 3, -1, 2] }],
      attributes: { axis: -1 },
      shapes: [[3, 3]],
    },
    {
      name: 'along the first axis, fewer columns',
      inputs: [{ shape: [4, 3] }, { dtype: 'int64', shape: [5, 2], below: 4 }],
      attributes: { axis: 0 },
      shapes: [[5, 2]],
    },
  ],
};
