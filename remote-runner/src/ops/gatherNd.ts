import { formatShape, GraphError } from '../graph/ir';
import { type OpDef, unsupportedGradient } from './op';
import { given, requireDType } from './typeRules';

/** Slices of x at `indices` [.., k], each of which names the first k dimensions. */
export const gatherNd: OpDef = {
  name: 'GatherND',
  infer: (inputs) => {
    const [x, indices] = [given(inputs, 0), given(inputs, 1)];
    requireDType(indices, 'indices', 'int64');
    const depth = indices.shape.at(-1) ?? 0;
    if (depth < 1 || depth > x.shape.length) {
      throw new GraphError(`indices ${formatShape(indices.shape)} do not fit ${formatShape(x.shape)}`);
    }
    return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(depth)] }];
  },
  gradient: unsupportedGradient(
    'repeated ids would have to add up, which ScatterND gets wrong on several threads: flatten the ids and use Gather',
  ),
  examples: [
    {
      name: 'single elements',
      inputs: [
        { shape: [2, 2], data: [1, 2, 3, 4] },
        { dtype: 'int64', shape: [2, 2], data: [1, 0, 0, 1] },
      ],
      shapes: [[2]],
      expect: [3, 2],
    },
    { name: 'rows', inputs: [{ shape: [4, 3] }, { dtype: 'int64', shape: [2, 5, 1], below: 4 }], shapes: [[2, 5, 3]] },
  ],
};
