import { noGradient, type OpDef } from './op';
import { likeFirst } from './typeRules';

/** Its input as it is, taken as a constant by whoever differentiates. */
export const stopGradient: OpDef = {
  name: 'StopGradient',
  infer: likeFirst,
  gradient: noGradient('it is there to have none'),
  onnx: (_node, emit) => emit.node('Identity', [emit.input(0)], [emit.output(0)]),
  examples: [
    { name: 'values', inputs: [{ shape: [2], data: [1, -2] }], shapes: [[2]], expect: [1, -2] },
    { name: 'whole numbers', inputs: [{ dtype: 'int64', shape: [3], below: 9 }], shapes: [[3]] },
  ],
};
