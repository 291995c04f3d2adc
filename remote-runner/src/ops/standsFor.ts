import { formatShape, GraphError, sameShape } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, requireSameDType } from './typeRules';

/**
 * The first input, which is what the second one is, computed in another way: a kernel that has no gradient stands for ops
 * that have one. What of the second is not needed for a gradient is never computed.
 */
export const standsFor: OpDef = {
  name: 'StandsFor',
  infer: (inputs) => {
    const [fast, meant] = [given(inputs, 0), given(inputs, 1)];
    requireSameDType(fast, meant);
    if (!sameShape(fast.shape, meant.shape))
      throw new GraphError(`what stands for ${formatShape(meant.shape)} must not be ${formatShape(fast.shape)}`);
    return [fast];
  },
  gradient: differentiable(({ dy }) => [null, dy]),
  onnx: (_node, emit) => emit.node('Identity', [emit.input(0)], [emit.output(0)]),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [2], data: [1, -2] },
        { shape: [2], data: [1, -2] },
      ],
      shapes: [[2]],
      expect: [1, -2],
      check: [],
    },
  ],
};
