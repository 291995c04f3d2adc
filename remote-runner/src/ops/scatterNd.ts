import { formatShape, GraphError, sameShape } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, requireDType, requireSameDType, stringAttribute } from './typeRules';

/** Why the variant that adds is refused. */
const RACES =
  'ScatterND with a reduction gives wrong sums on several threads where ids repeat (onnxruntime issues 18048, 23396): use ScatterElements';

/**
 * x with the slices `updates` written at `indices` [.., k]: each index names the first k dimensions. Ids must not repeat.
 * Gradients: updates' is read from dy (GatherND); x's is dy with zeros where it was overwritten.
 */
export const scatterNd: OpDef = {
  name: 'ScatterND',
  infer: (inputs, attributes) => {
    const [x, indices, updates] = [given(inputs, 0), given(inputs, 1), given(inputs, 2)];
    requireDType(indices, 'indices', 'int64');
    requireSameDType(x, updates);
    if (stringAttribute(attributes, 'reduction', 'none') !== 'none') throw new GraphError(RACES);
    const depth = indices.shape.at(-1) ?? 0;
    const slices = [...indices.shape.slice(0, -1), ...x.shape.slice(depth)];
    if (depth < 1 || depth > x.shape.length || !sameShape(updates.shape, slices)) {
      throw new GraphError(
        `indices ${formatShape(indices.shape)} and updates ${formatShape(updates.shape)} do not fit ${formatShape(x.shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  gradient: differentiable(({ g, dy, needs, input }) => [
    needs(0) ? g.apply('ScatterND', [dy, input(1), g.zeros(input(2).shape, dy.dtype)]) : null,
    null,
    needs(2) ? g.apply('GatherND', [dy, input(1)]) : null,
  ]),
  examples: [
    {
      name: 'rows',
      inputs: [
        { shape: [3, 2], data: [1, 2, 3, 4, 5, 6] },
        { dtype: 'int64', shape: [2, 1], data: [2, 0] },
        { shape: [2, 2], data: [7, 8, 9, 10] },
      ],
      shapes: [[3, 2]],
      expect: [9, 10, 3, 4, 7, 8],
    },
    {
      name: 'single elements',
      inputs: [{ shape: [2, 3] }, { dtype: 'int64', shape: [2, 2], data: [0, 2, 1, 0] }, { shape: [2] }],
      shapes: [[2, 3]],
    },
  ],
};
