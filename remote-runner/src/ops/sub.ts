import { foldFloats } from './foldRules';
import { differentiable, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/** a − b. Gradients: dy, −dy; the negation comes after the sum over broadcast axes, where it is smaller. */
export const sub: OpDef = {
  name: 'Sub',
  infer: broadcastLike,
  gradient: differentiable(({ g, dy, needs, input }) => [dy, needs(1) ? g.neg(g.sumTo(dy, input(1).shape)) : null]),
  fold: foldFloats((a, b) => a - b),
  examples: [
    { name: 'same shape', inputs: [{ shape: [7] }, { shape: [7] }], shapes: [[7]] },
    { name: 'a column from a matrix', inputs: [{ shape: [3, 4] }, { shape: [3, 1] }], shapes: [[3, 4]] },
    {
      name: 'from a scalar',
      inputs: [
        { shape: [], data: [1] },
        { shape: [2], data: [0.25, 3] },
      ],
      shapes: [[2]],
      expect: [0.75, -2],
    },
  ],
};
