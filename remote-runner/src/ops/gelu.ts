import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/**
 * x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016). dx = dy · (Φ(x) + x φ(x)),
 * Φ(x) = (1 + erf(x/√2)) / 2, φ(x) = exp(−x²/2) / √(2π).
 */
export const gelu: OpDef = {
  name: 'Gelu',
  domain: 'com.microsoft',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input }) => {
    const x = input(0);
    const scaled = g.mul(x, Math.SQRT1_2);
    const distribution = g.add(g.mul(g.erf(scaled), 0.5), 0.5);
    const density = g.exp(g.neg(g.square(scaled)));
    const tail = g.mul(g.mul(x, 1 / Math.sqrt(2 * Math.PI)), density);
    return [g.mul(dy, g.add(distribution, tail))];
  }),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [3], data: [0, 1, -30] }],
      shapes: [[3]],
      expect: [0, 0.8413447, 0],
      check: [],
    },
    { name: 'a batch', inputs: [{ shape: [2, 3, 5], range: [-3, 3] }], shapes: [[2, 3, 5]] },
  ],
};
