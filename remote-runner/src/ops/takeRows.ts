import { formatShape, GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, requireDType, requireFloat, requireRank } from './typeRules';

/**
 * Moves rows to other places: yₖ = x[indexₖ], or zeros where indexₖ is R, one behind the last row.
 * Inputs: x [R, C], index int64 [K], inverse int64 [R]: where each row of x went, K for a row that went nowhere. No row
 * may go to two places. Output: y [K, C].
 *
 * It packs the real tokens of a padded batch close together and spreads them out again; the gradient of the one is the
 * other, a look-up with index and inverse swapped, where the gradient of Gather would have to scatter.
 */
export const takeRows: OpDef = {
  name: 'TakeRows',
  infer: (inputs) => {
    const [x, index, inverse] = [given(inputs, 0), given(inputs, 1), given(inputs, 2)];
    requireFloat(x);
    requireRank(x, 'x', 2);
    requireDType(index, 'the index', 'int64');
    requireDType(inverse, 'the inverse', 'int64');
    if (index.shape.length !== 1) throw new GraphError(`the index must be a vector, not ${formatShape(index.shape)}`);
    if (inverse.shape.length !== 1 || inverse.shape[0] !== x.shape[0]) {
      throw new GraphError(`${x.shape[0]} rows want an inverse of as many, not ${formatShape(inverse.shape)}`);
    }
    return [{ dtype: x.dtype, shape: [index.shape[0]!, x.shape[1]!] }];
  },
  gradient: differentiable(({ g, dy, input }) => [g.apply('TakeRows', [dy, input(2), input(1)]), null, null]),
  onnx: (node, emit) => {
    const x = node.inputs[0]!;
    const [rows, width] = x.shape as [number, number];
    const [zero, padded] = [emit.temporary(), emit.temporary({ dtype: x.dtype, shape: [rows + 1, width] })];
    emit.node('Expand', [emit.scalar(0, x.dtype), emit.ints([1, width])], [zero]);
    emit.node('Concat', [emit.input(0), zero], [padded], { axis: 0 });
    emit.node('Gather', [padded, emit.input(1)], [emit.output(0)], { axis: 0 });
  },
  examples: [
    {
      name: 'packing: two of five rows are padding',
      inputs: [
        { shape: [5, 2], data: [1, 2, 3, 4, 0, 0, 5, 6, 0, 0] },
        { dtype: 'int64', shape: [3], data: [0, 1, 3] },
        { dtype: 'int64', shape: [5], data: [0, 1, 3, 2, 3] },
      ],
      shapes: [[3, 2]],
      expect: [1, 2, 3, 4, 5, 6],
    },
    {
      name: 'spreading, with a packed row that belongs nowhere',
      inputs: [
        { shape: [3, 2], data: [1, 2, 3, 4, 9, 9] },
        { dtype: 'int64', shape: [4], data: [0, 3, 3, 1] },
        { dtype: 'int64', shape: [3], data: [0, 3, 4] },
      ],
      shapes: [[4, 2]],
      expect: [1, 2, 0, 0, 0, 0, 3, 4],
    },
  ],
};
