import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

const LINEAR = 2 * Math.sqrt(2 / Math.PI);
const CUBIC = LINEAR * 0.044715;

/**
 * The tanh approximation of x Φ(x) (Hendrycks & Gimpel 2016), `gelu_new` in transformers.
 *
 * Since (1 + tanh u)/2 = σ(2u), y = x σ(z) with z = x (LINEAR + CUBIC x²). Its slope is s + y (1 − s) z' with s = σ(z) and
 * z' = LINEAR + 3 CUBIC x²: the saved y spares one product, and both polynomials share x².
 */
export const fastGelu: OpDef = {
  name: 'FastGelu',
  domain: 'com.microsoft',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input, output }) => {
    const [x, y] = [input(0), output(0)];
    const square = g.square(x);
    const s = g.sigmoid(g.mul(x, g.add(g.mul(square, CUBIC), LINEAR)));
    const slope = g.add(g.mul(square, 3 * CUBIC), LINEAR);
    return [g.mul(dy, g.add(s, g.mul(g.mul(y, g.sub(1, s)), slope)))];
  }),
  examples: [
    { name: 'values', inputs: [{ shape: [3], data: [0, 1, -30] }], shapes: [[3]], expect: [0, 0.841192, 0], check: [] },
    { name: 'a batch', inputs: [{ shape: [2, 3, 5], range: [-3, 3] }], shapes: [[2, 3, 5]] },
  ],
};
