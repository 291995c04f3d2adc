import { GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, requireFloat, requireRank } from './typeRules';

/**
 * lᵢ = log Σⱼ exp(xᵢⱼ) of each row. Input: x [N, V]. Outputs: l [N], and the softmax p [N, V] that the gradient reuses.
 *
 * It is taken as max x − log max p: the largest probability is at least 1/V, so nothing underflows, and the
 * probabilities, which the gradient wants anyway, are the only tensor of x's size that is made. dx = p · dl.
 */
export const logSumExp: OpDef = {
  name: 'LogSumExp',
  infer: (inputs) => {
    const x = given(inputs, 0);
    requireFloat(x);
    requireRank(x, 'x', 2);
    return [
      { dtype: x.dtype, shape: [x.shape[0]!] },
      { dtype: x.dtype, shape: x.shape },
    ];
  },
  gradient: differentiable(({ g, dOutputs, input, output, dy }) => {
    if (dOutputs[1]) throw new GraphError('the probabilities of LogSumExp are not differentiated: use Softmax');
    return [g.mul(output(1), g.reshape(dy, [input(0).shape[0]!, 1]))];
  }),
  onnx: (_node, emit) => {
    const [topProbability, top, logTop] = [emit.temporary(), emit.temporary(), emit.temporary()];
    const axis = emit.ints([1]);
    emit.node('ReduceMax', [emit.input(0), axis], [top], { keepdims: 0 });
    emit.node('Softmax', [emit.input(0)], [emit.output(1)], { axis: -1 });
    emit.node('ReduceMax', [emit.output(1), axis], [topProbability], { keepdims: 0 });
    emit.node('Log', [topProbability], [logTop]);
    emit.node('Sub', [top, logTop], [emit.output(0)]);
  },
  examples: [
    {
      name: 'three rows',
      inputs: [{ shape: [3, 5], range: [-3, 3] }],
      cotangents: [0],
      shapes: [[3], [3, 5]],
    },
    {
      name: 'values far apart neither overflow nor vanish',
      inputs: [{ shape: [2, 2], data: [0, 200, -200, -200] }],
      shapes: [[2], [2, 2]],
      expect: [200, -200 + Math.LN2],
      check: [],
    },
  ],
};
