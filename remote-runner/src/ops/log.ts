import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = ln x. dx = dy / x. */
export const log: OpDef = {
  name: 'Log',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input }) => [g.div(dy, input(0))]),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [1, Math.E] }], shapes: [[2]], expect: [0, 1] },
    { name: 'a matrix', inputs: [{ shape: [4, 3], range: [0.5, 3] }], shapes: [[4, 3]] },
  ],
};
