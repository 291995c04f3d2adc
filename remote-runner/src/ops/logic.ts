import type { TensorType } from '../graph/ir';
import { noGradient, type OpDef } from './op';
import { broadcastLike, given, likeFirst, requireDType } from './typeRules';

const gradient = noGradient('a truth value does not vary smoothly');

function truths(inputs: readonly (TensorType | null)[]): void {
  inputs.forEach((_, i) => {
    requireDType(given(inputs, i), 'a truth value', 'bool');
  });
}

/** Both hold. */
export const and: OpDef = {
  name: 'And',
  infer: (inputs) => {
    truths(inputs);
    return broadcastLike(inputs);
  },
  gradient,
  examples: [
    {
      name: 'causal and not padded',
      inputs: [
        { dtype: 'bool', shape: [2, 1], data: [1, 0] },
        { dtype: 'bool', shape: [2], data: [1, 0] },
      ],
      shapes: [[2, 2]],
      expect: [1, 0, 0, 0],
    },
  ],
};

/** Does not hold. */
export const not: OpDef = {
  name: 'Not',
  infer: (inputs) => {
    truths(inputs);
    return likeFirst(inputs);
  },
  gradient,
  examples: [{ name: 'both', inputs: [{ dtype: 'bool', shape: [2], data: [1, 0] }], shapes: [[2]], expect: [0, 1] }],
};
