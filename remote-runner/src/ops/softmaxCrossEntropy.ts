import { formatShape, GraphError } from '../graph/ir';
import { differentiable, type OpDef } from './op';
import { given, requireDType, requireFloat, requireRank } from './typeRules';

/**
 * Cross-entropy of each row's softmax with its target: lᵢ = log Σⱼ exp(xᵢⱼ) − xᵢ,ₜ₍ᵢ₎.
 * Inputs: logits x [N, V], targets int64 [N]. Outputs: losses [N], probabilities [N, V] (for the gradient).
 *
 * log Σ exp is taken as max x − log max p: the largest probability is at least 1/V, so nothing underflows, and the
 * probabilities, which the gradient wants anyway, are the only tensor of the logits' size that is made.
 * dx = (p − one-hot(t)) · dl.
 */
export const softmaxCrossEntropy: OpDef = {
  name: 'SoftmaxCrossEntropy',
  infer: (inputs) => {
    const [logits, targets] = [given(inputs, 0), given(inputs, 1)];
    requireFloat(logits);
    requireRank(logits, 'the logits', 2);
    requireDType(targets, 'the targets', 'int64');
    if (targets.shape.length !== 1 || targets.shape[0] !== logits.shape[0]) {
      throw new GraphError(
        `logits ${formatShape(logits.shape)} want as many targets as rows, not ${formatShape(targets.shape)}`,
      );
    }
    return [
      { dtype: logits.dtype, shape: [logits.shape[0]!] },
      { dtype: logits.dtype, shape: logits.shape },
    ];
  },
  gradient: differentiable(({ g, dOutputs, input, output, dy }) => {
    if (dOutputs[1])
      throw new GraphError('the probabilities of SoftmaxCrossEntropy are not differentiated: use Softmax');
    const rows = input(0).shape[0]!;
    const column = g.reshape(input(1), [rows, 1]);
    const minusOne = g.constant(new Float32Array(rows).fill(-1), 'float32', [rows, 1]);
    const difference = g.scatterAdd(output(1), column, minusOne, 1);
    return [g.mul(difference, g.reshape(dy, [rows, 1])), null];
  }),
  onnx: (_node, emit) => {
    const [logits, targets] = [emit.input(0), emit.input(1)];
    const [topProbability, top, column, own, logTop, logSum, loss] = Array.from({ length: 7 }, () =>
      emit.temporary(),
    ) as [string, string, string, string, string, string, string];
    const axis = emit.ints([1]);
    emit.node('ReduceMax', [logits, axis], [top], { keepdims: 1 });
    emit.node('Unsqueeze', [targets, axis], [column]);
    emit.node('GatherElements', [logits, column], [own], { axis: 1 });
    emit.node('Softmax', [logits], [emit.output(1)], { axis: -1 });
    emit.node('ReduceMax', [emit.output(1), axis], [topProbability], { keepdims: 1 });
    emit.node('Log', [topProbability], [logTop]);
    emit.node('Sub', [top, logTop], [logSum]);
    emit.node('Sub', [logSum, own], [loss]);
    emit.node('Squeeze', [loss, axis], [emit.output(0)]);
  },
  examples: [
    {
      name: 'three rows, the first target twice',
      inputs: [
        { shape: [3, 5], range: [-3, 3] },
        { dtype: 'int64', shape: [3], data: [1, 1, 4] },
      ],
      shapes: [[3], [3, 5]],
      check: [0],
      cotangents: [0],
    },
    {
      name: 'logits far apart do not overflow',
      inputs: [
        { shape: [2, 2], data: [0, 200, 0, 200] },
        { dtype: 'int64', shape: [2], data: [1, 0] },
      ],
      shapes: [[2], [2, 2]],
      expect: [0, 200],
      check: [],
    },
  ],
};
