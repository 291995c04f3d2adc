import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = sin x, x in radians. dx = dy · cos x. */
export const sin: OpDef = {
  name: 'Sin',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input }) => [g.mul(dy, g.apply('Cos', [input(0)]))]),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [0, Math.PI / 2] }], shapes: [[2]], expect: [0, 1] },
    { name: 'a matrix', inputs: [{ shape: [2, 7], range: [-4, 4] }], shapes: [[2, 7]] },
  ],
};
