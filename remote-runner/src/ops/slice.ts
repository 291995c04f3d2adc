import { type Attributes, formatShape, GraphError, type Shape } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute } from './typeRules';

/**
 * Elements from `starts` to before `ends` along `axes`, step 1. Negative bounds count from the end and bounds past the
 * end are cut, as in ONNX. dx is dy between zeros.
 */
export const slice: OpDef = {
  name: 'Slice',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    const { starts, ends } = bounds(shape, attributes);
    return [{ dtype, shape: shape.map((_, i) => ends[i]! - starts[i]!) }];
  },
  gradient: differentiable(({ g, dy, node, input }) => {
    const { shape } = input(0);
    const { starts, ends } = bounds(shape, node.attributes);
    return [g.apply('Pad', [dy], { before: starts, after: shape.map((size, i) => size - ends[i]!) })];
  }),
  onnx: (node, emit) => {
    const ints = (name: string) => emit.ints(intsAttribute(node.attributes, name));
    emit.node('Slice', [emit.input(0), ints('starts'), ints('ends'), ints('axes')], [emit.output(0)]);
  },
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }],
      attributes: { axes: [1], starts: [1], ends: [3] },
      shapes: [[2, 2]],
      expect: [2, 3, 5, 6],
    },
    {
      name: 'two axes',
      inputs: [{ shape: [4, 3, 5] }],
      attributes: { axes: [0, -1], starts: [1, 2], ends: [3, 5] },
      shapes: [[2, 3, 3]],
    },
    {
      name: 'from the end, past the end',
      inputs: [{ shape: [5] }],
      attributes: { axes: [0], starts: [-3], ends: [99] },
      shapes: [[3]],
    },
  ],
};

/** Start and end of every axis, within the tensor. */
function bounds(shape: Shape, attributes: Attributes): { starts: number[]; ends: number[] } {
  const axes = intsAttribute(attributes, 'axes').map((axis) => normalizeAxis(axis, shape.length));
  const [from, to] = [intsAttribute(attributes, 'starts'), intsAttribute(attributes, 'ends')];
  if (from.length !== axes.length || to.length !== axes.length || new Set(axes).size !== axes.length) {
    throw new GraphError('wants one start and one end for each axis, and each axis once');
  }
  const starts = shape.map(() => 0);
  const ends = [...shape];
  axes.forEach((axis, i) => {
    const size = shape[axis]!;
    const within = (at: number) => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
    starts[axis] = within(from[i]!);
    ends[axis] = within(to[i]!);
    if (ends[axis]! <= starts[axis]!) throw new GraphError(`takes nothing of axis ${axis} of ${formatShape(shape)}`);
  });
  return { starts, ends };
}
