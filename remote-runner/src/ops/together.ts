import { elementCount, GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given } from './typeRules';

/**
 * Its inputs as they are; but the gradients of all of them are computed before any of them is used further. What they are
 * computed from (the probabilities of a block of attention) can then be let go, where otherwise one gradient would be
 * carried to its end first and the rest kept waiting.
 */
export const together: OpDef = {
  name: 'Together',
  infer: (inputs) => {
    const types = inputs.map((_, i) => given(inputs, i));
    if (types.some(({ dtype }) => dtype !== types[0]?.dtype)) throw new GraphError('wants tensors of one type');
    return types.map(({ dtype, shape }) => ({ dtype, shape }));
  },
  gradient: differentiable(({ g, node, dOutputs }) => {
    const gradients = dOutputs.map((dy, i) => dy ?? g.zeros(node.outputs[i]!.shape, node.outputs[i]!.dtype));
    const sizes = gradients.map(({ shape }) => elementCount(shape));
    const joined = g.concat(
      gradients.map((gradient, i) => g.reshape(gradient, [sizes[i]!])),
      0,
    );
    return g.split(joined, sizes, 0).map((piece, i) => g.reshape(piece, gradients[i]!.shape));
  }),
  onnx: (node, emit) => {
    // ONNX Runtime copies where Identity says so; a reshape is the same memory.
    for (const [i, { shape }] of node.outputs.entries()) {
      emit.node('Reshape', [emit.input(i), emit.ints(shape)], [emit.output(i)]);
    }
  },
  examples: [
    {
      name: 'two of unlike shapes',
      inputs: [{ shape: [2, 3] }, { shape: [4], data: [1, 2, 3, 4] }],
      shapes: [[2, 3], [4]],
    },
    {
      name: 'only the second is used',
      inputs: [{ shape: [2] }, { shape: [3, 2] }],
      shapes: [[2], [3, 2]],
      cotangents: [1],
    },
  ],
};
