import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, likeFirstFloat, numberAttribute } from './typeRules';

/** y = eˣ / Σ eˣ along `axis`. dx = y · (dy − Σ dy · y). */
export const softmax: OpDef = {
  name: 'Softmax',
  infer: (inputs, attributes) => {
    normalizeAxis(numberAttribute(attributes, 'axis', -1), given(inputs, 0).shape.length);
    return likeFirstFloat(inputs);
  },
  gradient: differentiable(({ g, dy, node, output }) => {
    const y = output(0);
    return [g.mul(y, g.sub(dy, g.reduceSum(g.mul(dy, y), [numberAttribute(node.attributes, 'axis', -1)], true)))];
  }),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [1, 2], data: [0, Math.log(3)] }],
      attributes: { axis: -1 },
      shapes: [[1, 2]],
      expect: [0.25, 0.75],
    },
    {
      name: 'attention scores',
      inputs: [{ shape: [2, 3, 5, 5], range: [-2, 2] }],
      attributes: { axis: -1 },
      shapes: [[2, 3, 5, 5]],
    },
    { name: 'along the first axis', inputs: [{ shape: [4, 3] }], attributes: { axis: 0 }, shapes: [[4, 3]] },
    {
      name: 'a masked place gets nothing',
      inputs: [{ shape: [2], data: [1, -3.4028234663852886e38] }],
      attributes: { axis: 0 },
      shapes: [[2]],
      expect: [1, 0],
      check: [],
    },
  ],
};
