import { differentiable, type OpDef } from './op';
import { likeFirstFloat } from './typeRules';

/**
 * y = x σ(x), also called swish. dx = dy · (s + y (1 − s)), s = σ(x).
 * ONNX Runtime's kernel is com.microsoft.QuickGelu with alpha 1: x σ(alpha x).
 */
export const silu: OpDef = {
  name: 'Silu',
  infer: likeFirstFloat,
  gradient: differentiable(({ g, dy, input, output }) => {
    const s = g.sigmoid(input(0));
    return [g.mul(dy, g.add(s, g.mul(output(0), g.sub(1, s))))];
  }),
  onnx: (_node, emit) => emit.node('QuickGelu', [emit.input(0)], [emit.output(0)], { alpha: 1 }, 'com.microsoft'),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [0, 1] }], shapes: [[2]], expect: [0, 0.7310586], check: [] },
    { name: 'a batch', inputs: [{ shape: [2, 3, 5], range: [-3, 3] }], shapes: [[2, 3, 5]] },
  ],
};
