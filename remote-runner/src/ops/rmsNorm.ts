import { elementCount, formatShape, GraphError, sameShape } from '../graph/ir';
import { asMatrix } from './matrixRules';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireFloat, requireRank, requireSameDType } from './typeRules';

/**
 * y = x · r · scale over the last dimension, r = 1 / √(mean(x²) + ε) (Zhang & Sennrich 2019).
 * x [.., C], scale [C] → y [.., C], r [.., 1]. ONNX Runtime's kernel is SimplifiedLayerNormalization.
 *
 * With t = dy · x and n = C: dscale = rᵀ t, dx = dy · scale · r − x · r³ (t · scale)/n.
 */
export const rmsNorm: OpDef = {
  name: 'RmsNorm',
  infer: (inputs) => {
    const [x, scale] = [given(inputs, 0), given(inputs, 1)];
    requireFloat(x);
    requireSameDType(x, scale);
    requireRank(x, 'x', 1);
    if (!sameShape(scale.shape, x.shape.slice(-1))) {
      throw new GraphError(`scale must be ${formatShape(x.shape.slice(-1))}, not ${formatShape(scale.shape)}`);
    }
    return [
      { dtype: x.dtype, shape: x.shape },
      { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] },
    ];
  },
  gradient: differentiable(({ g, dOutputs, needs, input, output }) => {
    const [dy, dStatistic] = dOutputs;
    if (!dy || dStatistic) throw new GraphError('the deviation of RmsNorm has no gradient');
    const [x, scale] = [input(0), input(1)];
    const width = x.shape.at(-1)!;
    const rows = elementCount(x.shape) / width;
    const d = asMatrix(g, dy);
    const flat = asMatrix(g, x);
    const r = g.reshape(output(1), [rows, 1]);
    const t = g.mul(d, flat);
    const dScale = needs(1) ? g.reshape(g.gemm(r, t, null, { transA: true }), [width]) : null;
    if (!needs(0)) return [null, dScale];
    const slope = g.mul(g.mul(g.mul(g.square(r), r), 1 / width), g.gemm(t, g.reshape(scale, [width, 1])));
    const direct = g.mul(g.mul(d, g.reshape(scale, [1, width])), r);
    return [g.reshape(g.sub(direct, g.mul(flat, slope)), x.shape), dScale];
  }),
  onnx: (node, emit) =>
    emit.node('SimplifiedLayerNormalization', [emit.input(0), emit.input(1)], [emit.output(0), emit.output(1)], {
      axis: -1,
      epsilon: numberAttribute(node.attributes, 'epsilon'),
    }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [1, 2], data: [1, 7] },
        { shape: [2], data: [5, 10] },
      ],
      attributes: { epsilon: 0 },
      shapes: [
        [1, 2],
        [1, 1],
      ],
      expect: [1, 14],
      check: [],
    },
    {
      name: 'a batch',
      inputs: [{ shape: [2, 3, 8], range: [-2, 2] }, { shape: [8] }],
      attributes: { epsilon: 1e-6 },
      cotangents: [0],
      shapes: [
        [2, 3, 8],
        [2, 3, 1],
      ],
    },
    {
      name: 'odd width',
      inputs: [{ shape: [5, 7], range: [1, 2] }, { shape: [7] }],
      attributes: { epsilon: 1e-5 },
      cotangents: [0],
      shapes: [
        [5, 7],
        [5, 1],
      ],
    },
  ],
};
