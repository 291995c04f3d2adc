import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = tanh x. dx = dy · (1 − y²). */
export const tanh: OpDef = {
  name: 'Tanh',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, output }) => [g.mul(dy, g.sub(1, g.square(output(0))))]),
  examples: [
    { name: 'far out it is flat', inputs: [{ shape: [3], data: [0, 30, -30] }], shapes: [[3]], expect: [0, 1, -1] },
    { name: 'a matrix', inputs: [{ shape: [2, 7], range: [-2, 2] }], shapes: [[2, 7]] },
  ],
};
