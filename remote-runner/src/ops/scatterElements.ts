import { formatShape, GraphError, sameShape } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireDType, requireSameDType, stringAttribute } from './typeRules';

/**
 * x with `updates` written (`reduction` none, ids must not repeat) or added (`add`, repeated ids add up) at `indices`
 * along `axis`: y[i][indices[i][j]] = updates[i][j] for axis 1. Right with many threads, unlike ScatterND's `add`.
 * Gradients: updates' is read from dy at the same places; x's is dy, with zeros where it was overwritten.
 */
export const scatterElements: OpDef = {
  name: 'ScatterElements',
  infer: (inputs, attributes) => {
    const [x, indices, updates] = [given(inputs, 0), given(inputs, 1), given(inputs, 2)];
    requireDType(indices, 'indices', 'int64', 'int32');
    requireSameDType(x, updates);
    const axis = normalizeAxis(numberAttribute(attributes, 'axis', 0), x.shape.length);
    const reduction = stringAttribute(attributes, 'reduction', 'none');
    if (reduction !== 'none' && reduction !== 'add') throw new GraphError(`reduction ${reduction} is not offered`);
    if (!sameShape(indices.shape, updates.shape)) {
      throw new GraphError(`indices ${formatShape(indices.shape)} and updates ${formatShape(updates.shape)} differ`);
    }
    if (indices.shape.length !== x.shape.length || indices.shape.some((n, i) => i !== axis && n > x.shape[i]!)) {
      throw new GraphError(`indices ${formatShape(indices.shape)} do not fit ${formatShape(x.shape)} off axis ${axis}`);
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  gradient: differentiable(({ g, dy, node, needs, input }) => {
    const axis = numberAttribute(node.attributes, 'axis', 0);
    const kept = () =>
      stringAttribute(node.attributes, 'reduction', 'none') === 'add'
        ? dy
        : g.apply('ScatterElements', [dy, input(1), g.zeros(input(2).shape, dy.dtype)], { axis, reduction: 'none' });
    return [needs(0) ? kept() : null, null, needs(2) ? g.gatherElements(dy, input(1), axis) : null];
  }),
  examples: [
    {
      name: 'repeated ids add up',
      inputs: [
        { shape: [3], data: [10, 20, 30] },
        { dtype: 'int64', shape: [3], data: [1, 1, -1] },
        { shape: [3], data: [1, 2, 3] },
      ],
      attributes: { axis: 0, reduction: 'add' },
      shapes: [[3]],
      expect: [10, 23, 33],
    },
    {
      name: 'overwritten',
      inputs: [{ shape: [2, 4] }, { dtype: 'int64', shape: [2, 2], data: [3, 0, 1, 2] }, { shape: [2, 2] }],
      attributes: { axis: 1, reduction: 'none' },
      shapes: [[2, 4]],
    },
    {
      name: 'rows into a table',
      inputs: [{ shape: [4, 3] }, { dtype: 'int64', shape: [5, 3], below: 4 }, { shape: [5, 3] }],
      attributes: { axis: 0, reduction: 'add' },
      shapes: [[4, 3]],
    },
  ],
};
