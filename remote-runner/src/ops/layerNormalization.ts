import { elementCount, formatShape, GraphError, sameShape } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { asMatrix } from './matrixRules';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireFloat, requireSameDType } from './typeRules';

/**
 * y = (x − mean) · r · scale + bias over the last dimension, r = 1 / √(variance + ε) (Ba, Kiros & Hinton 2016).
 * x [.., C], scale and bias [C] (bias optional) → y [.., C], mean and r [.., 1].
 *
 * With c = x − mean and t = dy · c, over rows of n = C numbers:
 *   dscale = rᵀ t,  dbias = Σ dy,
 *   dx = dy · scale · r − c · r³ (t · scale)/n − r (dy · scale)/n
 * where (t · scale) and (dy · scale) are matrix–vector products. That is seven passes over a tensor of x's size.
 */
export const layerNormalization: OpDef = {
  name: 'LayerNormalization',
  infer: (inputs, attributes) => {
    const [x, scale, bias] = [given(inputs, 0), given(inputs, 1), inputs[2]];
    requireFloat(x);
    requireSameDType(x, scale, ...(bias ? [bias] : []));
    const { shape } = x;
    if (normalizeAxis(numberAttribute(attributes, 'axis', -1), shape.length) !== shape.length - 1) {
      throw new GraphError('only the last dimension can be normalised');
    }
    for (const weight of bias ? [scale, bias] : [scale]) {
      if (!sameShape(weight.shape, shape.slice(-1))) {
        throw new GraphError(
          `scale and bias must be ${formatShape(shape.slice(-1))}, not ${formatShape(weight.shape)}`,
        );
      }
    }
    const statistic = { dtype: x.dtype, shape: [...shape.slice(0, -1), 1] };
    return [{ dtype: x.dtype, shape }, statistic, statistic];
  },
  gradient: differentiable(({ g, node, dOutputs, needs, input, output }) => {
    const [dy, ...dStatistics] = dOutputs;
    if (!dy || dStatistics.some((d) => d))
      throw new GraphError('the mean and deviation of LayerNormalization have no gradient');
    const [x, scale] = [input(0), input(1)];
    const width = x.shape.at(-1)!;
    const rows = elementCount(x.shape) / width;
    const d = asMatrix(g, dy);
    const dBias = node.inputs[2] && needs(2) ? g.reduceSum(d, [0]) : null;
    if (!needs(0) && !needs(1)) return [null, null, dBias];

    const r = g.reshape(output(2), [rows, 1]);
    const centered = g.sub(asMatrix(g, x), g.reshape(output(1), [rows, 1]));
    const t = g.mul(d, centered);
    const dScale = needs(1) ? g.reshape(g.gemm(r, t, null, { transA: true }), [width]) : null;
    if (!needs(0)) return [null, dScale, dBias];

    const column = g.reshape(scale, [width, 1]);
    const slope = g.mul(g.mul(g.mul(g.square(r), r), 1 / width), g.gemm(t, column));
    const offset = g.mul(g.mul(r, 1 / width), g.gemm(d, column));
    const direct = g.mul(g.mul(d, g.reshape(scale, [1, width])), r);
    const dx = g.sub(g.sub(direct, g.mul(centered, slope)), offset);
    return [g.reshape(dx, x.shape), dScale, dBias];
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [1, 2], data: [1, 3] },
        { shape: [2], data: [2, 2] },
        { shape: [2], data: [0, 1] },
      ],
      attributes: { axis: -1, epsilon: 0 },
      shapes: [
        [1, 2],
        [1, 1],
        [1, 1],
      ],
      expect: [-2, 3],
      check: [],
    },
    {
      name: 'a batch',
      inputs: [{ shape: [2, 3, 8], range: [-2, 2] }, { shape: [8] }, { shape: [8] }],
      attributes: { axis: -1, epsilon: 1e-5 },
      cotangents: [0],
      shapes: [
        [2, 3, 8],
        [2, 3, 1],
        [2, 3, 1],
      ],
    },
    {
      name: 'no bias, far from zero',
      inputs: [{ shape: [5, 7], range: [3, 5] }, { shape: [7] }],
      attributes: { axis: -1, epsilon: 1e-5 },
      cotangents: [0],
      shapes: [
        [5, 7],
        [5, 1],
        [5, 1],
      ],
    },
  ],
};
