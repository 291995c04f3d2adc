import { foldFloats } from './foldRules';
import { differentiable, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/** y = a / b. Gradients: da = dy / b, db = −da · y. Whole numbers round towards zero and have no gradient. */
export const div: OpDef = {
  name: 'Div',
  infer: broadcastLike,
  gradient: differentiable(({ g, dy, needs, input, output }) => {
    const da = g.div(dy, input(1));
    return [da, needs(1) ? g.neg(g.sumTo(g.mul(da, output(0)), input(1).shape)) : null];
  }),
  fold: foldFloats((a, b) => a / b),
  examples: [
    { name: 'same shape', inputs: [{ shape: [5] }, { shape: [5], range: [0.5, 2] }], shapes: [[5]] },
    { name: 'rows by a column', inputs: [{ shape: [3, 4] }, { shape: [3, 1], range: [-2, -0.5] }], shapes: [[3, 4]] },
    {
      name: 'int64',
      inputs: [
        { dtype: 'int64', shape: [3], data: [7, -7, 8] },
        { dtype: 'int64', shape: [], data: [2] },
      ],
      shapes: [[3]],
      expect: [3, -3, 4],
    },
  ],
};
