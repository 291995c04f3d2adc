import { foldFloats } from './foldRules';
import { differentiable, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/** a + b. Gradients: dy, dy. */
export const add: OpDef = {
  name: 'Add',
  infer: broadcastLike,
  gradient: differentiable(({ dy }) => [dy, dy]),
  fold: foldFloats((a, b) => a + b),
  examples: [
    { name: 'same shape', inputs: [{ shape: [3, 5] }, { shape: [3, 5] }], shapes: [[3, 5]] },
    { name: 'both operands stretch', inputs: [{ shape: [4, 1, 3] }, { shape: [2, 1] }], shapes: [[4, 2, 3]] },
    {
      name: 'a scalar',
      inputs: [
        { shape: [], data: [2] },
        { shape: [2], data: [1, -1] },
      ],
      shapes: [[2]],
      expect: [3, 1],
    },
    {
      name: 'int64',
      inputs: [
        { dtype: 'int64', shape: [2], data: [5, -7] },
        { dtype: 'int64', shape: [], data: [1] },
      ],
      shapes: [[2]],
      expect: [6, -6],
    },
  ],
};
