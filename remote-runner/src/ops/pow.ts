import type { Value } from '../graph/ir';
import { foldFloats } from './foldRules';
import { differentiable, type GradientContext, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/**
 * y = aᵇ. da = dy · b · aᵇ⁻¹, with the multiplications that a square and a cube really need; db = dy · y · ln a,
 * and 0 where a is 0, as in PyTorch. A negative base has no gradient by its exponent (NaN).
 */
export const pow: OpDef = {
  name: 'Pow',
  infer: broadcastLike,
  gradient: differentiable((context) => [
    context.needs(0) ? byBase(context) : null,
    context.needs(1) ? byExponent(context) : null,
  ]),
  fold: foldFloats((a, b) => a ** b),
  examples: [
    { name: 'a square', inputs: [{ shape: [2, 3] }, { shape: [], data: [2], constant: true }], shapes: [[2, 3]] },
    { name: 'a cube', inputs: [{ shape: [5] }, { shape: [], data: [3], constant: true }], shapes: [[5]] },
    {
      name: 'a root',
      inputs: [
        { shape: [3], data: [1, 4, 9] },
        { shape: [], data: [0.5] },
      ],
      shapes: [[3]],
      expect: [1, 2, 3],
    },
    {
      name: 'both vary',
      inputs: [
        { shape: [3, 1], range: [0.5, 2] },
        { shape: [4], range: [-2, 2] },
      ],
      shapes: [[3, 4]],
    },
  ],
};

function byBase({ g, dy, input }: GradientContext): Value {
  const [a, b] = [input(0), input(1)];
  switch (constantScalar(b)) {
    case 2:
      return g.mul(g.mul(dy, 2), a);
    case 3:
      return g.mul(g.mul(dy, 3), g.square(a));
    default:
      return g.mul(dy, g.mul(b, g.pow(a, g.sub(b, 1))));
  }
}

function byExponent({ g, dy, input, output }: GradientContext): Value {
  const a = input(0);
  const logarithm = g.where(g.equal(a, 0), 0, g.log(a));
  return g.mul(g.mul(dy, output(0)), logarithm);
}

function constantScalar(value: Value): number | null {
  const { source } = value;
  return source.kind === 'constant' && source.data.length === 1 ? Number(source.data[0]) : null;
}
