import { resolveReshape } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute } from './typeRules';

/** The same elements in another shape; one size may be −1. dx is dy in the shape of x. Costs nothing at run time. */
export const reshape: OpDef = {
  name: 'Reshape',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    return [{ dtype, shape: resolveReshape(shape, intsAttribute(attributes, 'shape')) }];
  },
  gradient: differentiable(({ g, dy, input }) => [g.reshape(dy, input(0).shape)]),
  // allowzero: a 0 is a size, not ONNX's "copy this dimension".
  onnx: (node, emit) =>
    emit.node('Reshape', [emit.input(0), emit.ints(node.outputs[0]!.shape)], [emit.output(0)], { allowzero: 1 }),
  fold: (inputs) => [inputs[0]!],
  examples: [
    { name: 'flatten', inputs: [{ shape: [2, 3, 4] }], attributes: { shape: [6, -1] }, shapes: [[6, 4]] },
    {
      name: 'to a scalar',
      inputs: [{ shape: [1, 1], data: [7] }],
      attributes: { shape: [] },
      shapes: [[]],
      expect: [7],
    },
    {
      name: 'a new dimension',
      inputs: [{ dtype: 'int64', shape: [3], data: [1, 2, 3] }],
      attributes: { shape: [3, 1] },
      shapes: [[3, 1]],
      expect: [1, 2, 3],
    },
  ],
};
