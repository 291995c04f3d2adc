import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = 1 / (1 + e⁻ˣ). dx = dy · y · (1 − y). */
export const sigmoid: OpDef = {
  name: 'Sigmoid',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, output }) => [g.mul(g.mul(dy, output(0)), g.sub(1, output(0)))]),
  examples: [
    { name: 'far out it is flat', inputs: [{ shape: [3], data: [0, 100, -100] }], shapes: [[3]], expect: [0.5, 1, 0] },
    { name: 'a matrix', inputs: [{ shape: [2, 7], range: [-3, 3] }], shapes: [[2, 7]] },
  ],
};
