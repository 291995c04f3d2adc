import { broadcastShapes } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, requireDType, requireSameDType } from './typeRules';

/** a where `condition` holds, b elsewhere. Each gets dy where it was taken. */
export const where: OpDef = {
  name: 'Where',
  infer: (inputs) => {
    const [condition, a, b] = [given(inputs, 0), given(inputs, 1), given(inputs, 2)];
    requireDType(condition, 'the condition', 'bool');
    requireSameDType(a, b);
    return [{ dtype: a.dtype, shape: broadcastShapes(condition.shape, a.shape, b.shape) }];
  },
  gradient: differentiable(({ g, dy, needs, input }) => [
    null,
    needs(1) ? g.where(input(0), dy, 0) : null,
    needs(2) ? g.where(input(0), 0, dy) : null,
  ]),
  examples: [
    {
      name: 'values',
      inputs: [
        { dtype: 'bool', shape: [3], data: [1, 0, 1] },
        { shape: [3], data: [1, 2, 3] },
        { shape: [], data: [-9] },
      ],
      shapes: [[3]],
      expect: [1, -9, 3],
    },
    {
      name: 'a causal mask',
      inputs: [{ dtype: 'bool', shape: [1, 3, 4], below: 2 }, { shape: [2, 3, 4] }, { shape: [] }],
      shapes: [[2, 3, 4]],
    },
  ],
};
