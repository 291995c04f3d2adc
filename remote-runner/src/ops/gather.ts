import { elementCount, type Value } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type GradientContext, type OpDef } from './op';
import { given, numberAttribute, requireDType } from './typeRules';

/**
 * Slices of x at `indices` along `axis`: x[.., d, ..] and indices [i, j] give [.., i, j, ..]. An embedding look-up.
 *
 * Repeated ids add up in the gradient. It is written with ScatterElements: ScatterND with reduction `add` loses
 * summands on the CPU provider with two or more threads (onnxruntime issues 18048 and 23396).
 */
export const gather: OpDef = {
  name: 'Gather',
  infer: (inputs, attributes) => {
    const [x, indices] = [given(inputs, 0), given(inputs, 1)];
    requireDType(indices, 'indices', 'int64', 'int32');
    const axis = normalizeAxis(numberAttribute(attributes, 'axis', 0), x.shape.length);
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)] }];
  },
  gradient: differentiable((context) => [context.needs(0) ? scattered(context) : null, null]),
  sparseRows: (context) => {
    const { g, input, dy } = context;
    const [x, indices] = [input(0), input(1)];
    if (axisOf(context) !== 0) return null;
    const count = elementCount(indices.shape);
    return {
      indices: g.cast(g.reshape(indices, [count]), 'int64'),
      rows: g.reshape(dy, [count, ...x.shape.slice(1)]),
    };
  },
  examples: [
    {
      name: 'a repeated id',
      inputs: [
        { shape: [3, 2], data: [1, 2, 3, 4, 5, 6] },
        { dtype: 'int64', shape: [2, 2], data: [2, 0, 2, 2] },
      ],
      attributes: { axis: 0 },
      shapes: [[2, 2, 2]],
      expect: [5, 6, 1, 2, 5, 6, 5, 6],
    },
    {
      name: 'an embedding',
      inputs: [{ shape: [7, 3] }, { dtype: 'int64', shape: [2, 5], below: 7 }],
      attributes: { axis: 0 },
      shapes: [[2, 5, 3]],
    },
    {
      name: 'int32 ids from a vector',
      inputs: [{ shape: [6] }, { dtype: 'int32', shape: [4], below: 6 }],
      attributes: { axis: 0 },
      shapes: [[4]],
    },
    {
      name: 'along the middle',
      inputs: [{ shape: [2, 5, 3] }, { dtype: 'int64', shape: [2, 2], below: 5 }],
      attributes: { axis: 1 },
      shapes: [[2, 2, 2, 3]],
    },
    {
      name: 'one column, from the end',
      inputs: [{ shape: [2, 4] }, { dtype: 'int64', shape: [], data: [-1] }],
      attributes: { axis: -1 },
      shapes: [[2]],
    },
  ],
};

function axisOf({ node, input }: GradientContext): number {
  return normalizeAxis(numberAttribute(node.attributes, 'axis', 0), input(0).shape.length);
}

/** dy as [before, n, after] added into zeros [before, d, after] along the middle. */
function scattered(context: GradientContext): Value {
  const { g, input, dy } = context;
  const [x, indices] = [input(0), input(1)];
  const axis = axisOf(context);
  const before = elementCount(x.shape.slice(0, axis));
  const after = elementCount(x.shape.slice(axis + 1));
  const count = elementCount(indices.shape);
  const where = g.expand(g.reshape(indices, [1, count, 1]), [before, count, after]);
  const zeros = g.zeros([before, x.shape[axis]!, after], dy.dtype);
  return g.reshape(g.scatterAdd(zeros, where, g.reshape(dy, [before, count, after]), 1), x.shape);
}
