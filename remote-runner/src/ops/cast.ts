import { type DType, GraphError, isFloat } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, stringAttribute } from './typeRules';

const DTYPES: ReadonlySet<string> = new Set<DType>([
  'float32',
  'float16',
  'bfloat16',
  'float64',
  'int64',
  'int32',
  'uint64',
  'uint32',
  'uint8',
  'bool',
]);

/** `x` as type `to`. Between float types dx = dy cast back; from or to whole numbers there is none. */
export const cast: OpDef = {
  name: 'Cast',
  infer: (inputs, attributes) => {
    const to = stringAttribute(attributes, 'to');
    if (!DTYPES.has(to)) throw new GraphError(`there is no type ${to}`);
    return [{ dtype: to as DType, shape: given(inputs, 0).shape }];
  },
  gradient: differentiable(({ g, dy, input }) => [isFloat(input(0).dtype) ? g.cast(dy, input(0).dtype) : null]),
  fold: ([data], node) => {
    const from = node.inputs[0]!.dtype;
    if (node.attributes.to !== 'float32' || (from !== 'int64' && from !== 'int32' && from !== 'float64')) return null;
    return data ? [Float32Array.from({ length: data.length }, (_, i) => Number(data[i]))] : null;
  },
  examples: [
    {
      name: 'towards zero',
      inputs: [{ shape: [3], data: [1.75, -1.75, 0] }],
      attributes: { to: 'int64' },
      shapes: [[3]],
      expect: [1, -1, 0],
      check: [],
    },
    {
      name: 'a truth value',
      inputs: [{ dtype: 'bool', shape: [2], data: [1, 0] }],
      attributes: { to: 'float32' },
      shapes: [[2]],
      expect: [1, 0],
    },
    { name: 'to double', inputs: [{ shape: [2, 3] }], attributes: { to: 'float64' }, shapes: [[2, 3]] },
    { name: 'to the same', inputs: [{ shape: [4] }], attributes: { to: 'float32' }, shapes: [[4]] },
  ],
};
