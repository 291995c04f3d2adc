import { differentiable, type OpDef } from './op';
import { likeFirst } from './typeRules';

/** −x. dx = −dy. */
export const neg: OpDef = {
  name: 'Neg',
  infer: likeFirst,
  gradient: differentiable(({ g, dy }) => [g.neg(dy)]),
  examples: [
    { name: 'a matrix', inputs: [{ shape: [3, 5] }], shapes: [[3, 5]] },
    { name: 'int64', inputs: [{ dtype: 'int64', shape: [2], data: [3, -4] }], shapes: [[2]], expect: [-3, 4] },
  ],
};
