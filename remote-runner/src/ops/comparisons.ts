import type { TensorType } from '../graph/ir';
import { noGradient, type OpDef } from './op';
import { broadcastLike } from './typeRules';

const gradient = noGradient('a truth value does not vary smoothly');

function truth(inputs: readonly (TensorType | null)[]): TensorType[] {
  return broadcastLike(inputs).map(({ shape }) => ({ dtype: 'bool', shape }));
}

/** a = b, element-wise. */
export const equal: OpDef = {
  name: 'Equal',
  infer: truth,
  gradient,
  examples: [
    {
      name: 'ids',
      inputs: [
        { dtype: 'int64', shape: [2, 2], data: [1, 2, 3, 2] },
        { dtype: 'int64', shape: [], data: [2] },
      ],
      shapes: [[2, 2]],
      expect: [0, 1, 0, 1],
    },
    { name: 'both operands stretch', inputs: [{ shape: [3, 1] }, { shape: [1, 2] }], shapes: [[3, 2]] },
  ],
};

/** a < b, element-wise. */
export const less: OpDef = {
  name: 'Less',
  infer: truth,
  gradient,
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [3], data: [1, 2, 3] },
        { shape: [], data: [2] },
      ],
      shapes: [[3]],
      expect: [1, 0, 0],
    },
    {
      name: 'a causal mask',
      inputs: [
        { dtype: 'int64', shape: [1, 3], data: [0, 1, 2] },
        { dtype: 'int64', shape: [3, 1], data: [1, 2, 3] },
      ],
      shapes: [[3, 3]],
      expect: [1, 0, 0, 1, 1, 0, 1, 1, 1],
    },
  ],
};

/** a > b, element-wise. */
export const greater: OpDef = {
  name: 'Greater',
  infer: truth,
  gradient,
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [3], data: [1, 2, 3] },
        { shape: [], data: [2] },
      ],
      shapes: [[3]],
      expect: [0, 0, 1],
    },
    { name: 'a row and a column', inputs: [{ shape: [4] }, { shape: [2, 1] }], shapes: [[2, 4]] },
  ],
};
