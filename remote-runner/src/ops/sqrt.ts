import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = √x. dx = dy / 2y, infinite at 0. */
export const sqrt: OpDef = {
  name: 'Sqrt',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, output }) => [g.div(g.mul(dy, 0.5), output(0))]),
  examples: [
    { name: 'values', inputs: [{ shape: [3], data: [4, 0.25, 9] }], shapes: [[3]], expect: [2, 0.5, 3] },
    { name: 'a batch', inputs: [{ shape: [2, 3, 1], range: [0.5, 3] }], shapes: [[2, 3, 1]] },
  ],
};
