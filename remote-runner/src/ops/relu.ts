import { differentiable, type OpDef } from './op';
import { likeFirst } from './typeRules';

/** max(x, 0). dx = dy · sign y, which is 1 or 0, and 0 at 0. */
export const relu: OpDef = {
  name: 'Relu',
  infer: likeFirst,
  gradient: differentiable(({ g, dy, output }) => [g.mul(dy, g.sign(output(0)))]),
  examples: [
    { name: 'values', inputs: [{ shape: [3], data: [-2, 0, 5] }], shapes: [[3]], expect: [0, 0, 5], check: [] },
    { name: 'above', inputs: [{ shape: [2, 3], range: [0.5, 2] }], shapes: [[2, 3]] },
    { name: 'below', inputs: [{ shape: [5], range: [-2, -0.5] }], shapes: [[5]] },
  ],
};
