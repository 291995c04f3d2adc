import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/** The error function. dx = dy · 2/√π · exp(−x²). */
export const erf: OpDef = {
  name: 'Erf',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input }) => [
    g.mul(g.mul(dy, 2 / Math.sqrt(Math.PI)), g.exp(g.neg(g.square(input(0))))),
  ]),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [3], data: [0, 1, -9] }],
      shapes: [[3]],
      expect: [0, 0.8427008, -1],
      check: [],
    },
    { name: 'a matrix', inputs: [{ shape: [3, 5], range: [-2, 2] }], shapes: [[3, 5]] },
  ],
};
