import { differentiable, type OpDef } from './op';
import { likeFirst } from './typeRules';

/** |x|. dx = dy · sign x, which is 0 at 0. */
export const abs: OpDef = {
  name: 'Abs',
  infer: likeFirst,
  gradient: differentiable(({ g, dy, input }) => [g.mul(dy, g.sign(input(0)))]),
  examples: [
    { name: 'negative numbers', inputs: [{ shape: [2, 3], range: [-2, -0.5] }], shapes: [[2, 3]] },
    { name: 'positive numbers', inputs: [{ shape: [5], range: [0.5, 2] }], shapes: [[5]] },
    { name: 'values', inputs: [{ shape: [3], data: [-2, 0, 5] }], shapes: [[3]], expect: [2, 0, 5], check: [] },
  ],
};
