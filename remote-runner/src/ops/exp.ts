import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = eˣ. dx = dy · y. */
export const exp: OpDef = {
  name: 'Exp',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, output }) => [g.mul(dy, output(0))]),
  examples: [
    { name: 'a scalar', inputs: [{ shape: [], data: [0] }], shapes: [[]], expect: [1] },
    { name: 'a matrix', inputs: [{ shape: [3, 5] }], shapes: [[3, 5]] },
  ],
};
