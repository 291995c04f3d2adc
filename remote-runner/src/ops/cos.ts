import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** y = cos x, x in radians. dx = −dy · sin x. */
export const cos: OpDef = {
  name: 'Cos',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input }) => [g.neg(g.mul(dy, g.apply('Sin', [input(0)])))]),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [0, Math.PI] }], shapes: [[2]], expect: [1, -1] },
    { name: 'a matrix', inputs: [{ shape: [2, 7], range: [-4, 4] }], shapes: [[2, 7]] },
  ],
};
