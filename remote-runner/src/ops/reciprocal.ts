import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = 1 / x. dx = −dy · y². */
export const reciprocal: OpDef = {
  name: 'Reciprocal',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, output }) => [g.neg(g.mul(dy, g.square(output(0))))]),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [4, -0.5] }], shapes: [[2]], expect: [0.25, -2] },
    { name: 'a matrix', inputs: [{ shape: [3, 3], range: [0.5, 2] }], shapes: [[3, 3]] },
  ],
};
