import { GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute } from './typeRules';

/** Zeros around x: `before[i]` and `after[i]` of them along axis i. dx is the middle of dy. */
export const pad: OpDef = {
  name: 'Pad',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    const [before, after] = [intsAttribute(attributes, 'before'), intsAttribute(attributes, 'after')];
    if (before.length !== shape.length || after.length !== shape.length || [...before, ...after].some((n) => n < 0)) {
      throw new GraphError(`wants ${shape.length} sizes before and after, none negative`);
    }
    return [{ dtype, shape: shape.map((size, i) => before[i]! + size + after[i]!) }];
  },
  gradient: differentiable(({ g, dy, node, input }) => {
    const before = intsAttribute(node.attributes, 'before');
    const { shape } = input(0);
    return [
      g.slice(
        dy,
        shape.map((_, i) => i),
        before,
        shape.map((size, i) => before[i]! + size),
      ),
    ];
  }),
  onnx: (node, emit) => {
    const sizes = [...intsAttribute(node.attributes, 'before'), ...intsAttribute(node.attributes, 'after')];
    emit.node('Pad', [emit.input(0), emit.ints(sizes)], [emit.output(0)], { mode: 'constant' });
  },
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [2], data: [1, 2] }],
      attributes: { before: [1], after: [2] },
      shapes: [[5]],
      expect: [0, 1, 2, 0, 0],
    },
    {
      name: 'every axis otherwise',
      inputs: [{ shape: [2, 1, 3] }],
      attributes: { before: [0, 2, 1], after: [1, 0, 1] },
      shapes: [[3, 3, 5]],
    },
  ],
};
