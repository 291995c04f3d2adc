import { formatShape, GraphError } from '../graph/ir';
import { inversePermutation } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute } from './typeRules';

/** Dimension i of the result is dimension `perm[i]` of x. dx is dy with the inverse permutation. */
export const transpose: OpDef = {
  name: 'Transpose',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    const perm = intsAttribute(attributes, 'perm');
    if ([...perm].sort((a, b) => a - b).join() !== shape.map((_, i) => i).join()) {
      throw new GraphError(`perm [${perm.join(', ')}] does not name each dimension of ${formatShape(shape)} once`);
    }
    return [{ dtype, shape: perm.map((from) => shape[from]!) }];
  },
  gradient: differentiable(({ g, dy, node }) => [
    g.transpose(dy, inversePermutation(intsAttribute(node.attributes, 'perm'))),
  ]),
  examples: [
    {
      name: 'a matrix',
      inputs: [{ shape: [2, 2], data: [1, 2, 3, 4] }],
      attributes: { perm: [1, 0] },
      shapes: [[2, 2]],
      expect: [1, 3, 2, 4],
    },
    {
      name: 'heads out of hidden',
      inputs: [{ shape: [2, 5, 3, 4] }],
      attributes: { perm: [0, 2, 1, 3] },
      shapes: [[2, 3, 5, 4]],
    },
    {
      name: 'a cycle, which is not its own inverse',
      inputs: [{ shape: [2, 3, 4] }],
      attributes: { perm: [2, 0, 1] },
      shapes: [[4, 2, 3]],
    },
  ],
};
