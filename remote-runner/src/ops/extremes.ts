import type { Value } from '../graph/ir';
import { differentiable, type GradientContext, type OpDef } from './op';
import { broadcastLike } from './typeRules';

/** The smaller of two. The gradient goes to the one that was taken; ties share it evenly, as in JAX and PyTorch. */
export const min: OpDef = {
  name: 'Min',
  infer: broadcastLike,
  gradient: differentiable((context) => {
    const [a, b] = [context.input(0), context.input(1)];
    return [context.needs(0) ? share(context, a, b) : null, context.needs(1) ? share(context, b, a) : null];
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [2], data: [1, 5] },
        { shape: [2], data: [3, 2] },
      ],
      shapes: [[2]],
      expect: [1, 2],
    },
    {
      name: 'a bound',
      inputs: [
        { shape: [4, 5], range: [-2, 2] },
        { shape: [], data: [10] },
      ],
      shapes: [[4, 5]],
    },
    {
      name: 'a tie',
      inputs: [
        { shape: [1], data: [2] },
        { shape: [1], data: [2] },
      ],
      shapes: [[1]],
      expect: [2],
      check: [],
    },
  ],
};

/** The larger of two; gradient as for {@link min}. */
export const max: OpDef = {
  name: 'Max',
  infer: broadcastLike,
  gradient: differentiable((context) => {
    const [a, b] = [context.input(0), context.input(1)];
    return [context.needs(0) ? share(context, b, a) : null, context.needs(1) ? share(context, a, b) : null];
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [2], data: [1, 5] },
        { shape: [2], data: [3, 2] },
      ],
      shapes: [[2]],
      expect: [3, 5],
    },
    {
      name: 'rows',
      inputs: [
        { shape: [3, 4], range: [2, 3] },
        { shape: [4], range: [-1, 1] },
      ],
      shapes: [[3, 4]],
    },
  ],
};

/** The part of dy for the operand that is taken where `less < greater`. */
function share({ g, dy }: GradientContext, less: Value, greater: Value): Value {
  return g.where(g.less(less, greater), dy, g.where(g.equal(less, greater), g.mul(dy, 0.5), 0));
}
