import { formatShape, GraphError } from '../graph/ir';
import { broadcastShapes } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute } from './typeRules';

/** `x` repeated along dimensions of size 1 and new leading ones until it has `shape`. dx is the sum, which the driver does. */
export const expand: OpDef = {
  name: 'Expand',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    const target = intsAttribute(attributes, 'shape');
    if (broadcastShapes(shape, target).join() !== target.join()) {
      throw new GraphError(`${formatShape(shape)} does not expand to ${formatShape(target)}`);
    }
    return [{ dtype, shape: target }];
  },
  gradient: differentiable(({ dy }) => [dy]),
  onnx: (node, emit) => emit.node('Expand', [emit.input(0), emit.ints(node.outputs[0]!.shape)], [emit.output(0)]),
  examples: [
    {
      name: 'a scalar',
      inputs: [{ shape: [], data: [3] }],
      attributes: { shape: [2, 2] },
      shapes: [[2, 2]],
      expect: [3, 3, 3, 3],
    },
    { name: 'a column', inputs: [{ shape: [3, 1] }], attributes: { shape: [2, 3, 4] }, shapes: [[2, 3, 4]] },
  ],
};
