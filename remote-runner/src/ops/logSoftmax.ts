import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, likeFirstFloat, numberAttribute } from './typeRules';

/** y = x − ln Σ eˣ along `axis`. dx = dy − e^y · Σ dy. */
export const logSoftmax: OpDef = {
  name: 'LogSoftmax',
  infer: (inputs, attributes) => {
    normalizeAxis(numberAttribute(attributes, 'axis', -1), given(inputs, 0).shape.length);
    return likeFirstFloat(inputs);
  },
  gradient: differentiable(({ g, dy, node, output }) => {
    const total = g.reduceSum(dy, [numberAttribute(node.attributes, 'axis', -1)], true);
    return [g.sub(dy, g.mul(g.exp(output(0)), total))];
  }),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [1, 2], data: [0, Math.log(3)] }],
      attributes: { axis: -1 },
      shapes: [[1, 2]],
      expect: [Math.log(0.25), Math.log(0.75)],
    },
    {
      name: 'large logits do not overflow',
      inputs: [{ shape: [2], data: [500, 500] }],
      attributes: { axis: 0 },
      shapes: [[2]],
      expect: [-Math.LN2, -Math.LN2],
      check: [],
    },
    { name: 'a batch', inputs: [{ shape: [3, 2, 7], range: [-2, 2] }], attributes: { axis: -1 }, shapes: [[3, 2, 7]] },
    { name: 'along the middle', inputs: [{ shape: [2, 5, 3] }], attributes: { axis: 1 }, shapes: [[2, 5, 3]] },
  ],
};
