import { foldFloats } from './foldRules';
import { differentiable, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/** a · b. Gradients: dy · b, dy · a; of a square 2 · dy · a, which is one pass less than summing both. */
export const mul: OpDef = {
  name: 'Mul',
  infer: broadcastLike,
  gradient: differentiable(({ g, dy, needs, input }) => {
    const [a, b] = [input(0), input(1)];
    if (a === b) return [g.mul(g.mul(dy, 2), a), null];
    return [needs(0) ? g.mul(dy, b) : null, needs(1) ? g.mul(dy, a) : null];
  }),
  fold: foldFloats((a, b) => a * b),
  examples: [
    { name: 'same shape', inputs: [{ shape: [2, 3] }, { shape: [2, 3] }], shapes: [[2, 3]] },
    { name: 'a row over a batch', inputs: [{ shape: [2, 3, 5] }, { shape: [5] }], shapes: [[2, 3, 5]] },
    { name: 'both operands stretch', inputs: [{ shape: [3, 1] }, { shape: [1, 4] }], shapes: [[3, 4]] },
    {
      name: 'uint64 wraps around',
      inputs: [
        { dtype: 'uint64', shape: [2], data: [3, 2 ** 63] },
        { dtype: 'uint64', shape: [], data: [3] },
      ],
      shapes: [[2]],
      expect: [9, 2 ** 63],
    },
  ],
};
