import { noGradient, type OpDef } from './op';
import { likeFirst } from './typeRules';

/** −1, 0 or 1. */
export const sign: OpDef = {
  name: 'Sign',
  infer: likeFirst,
  gradient: noGradient('the sign is constant wherever it is smooth'),
  examples: [{ name: 'values', inputs: [{ shape: [3], data: [-2, 0, 5] }], shapes: [[3]], expect: [-1, 0, 1] }],
};
