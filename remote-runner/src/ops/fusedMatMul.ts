import { asMatrix, productType } from './matrixRules';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute } from './typeRules';

/**
 * alpha · op(A) · op(B), batched, with op the transpose of the last two dimensions where `transA` or `transB` is 1.
 * Source: com.microsoft.FusedMatMul in ONNX Runtime's ContribOperators.md.
 *
 * With A' = op(A), B' = op(B): dA' = alpha · dY · B'ᵀ and dB' = alpha · A'ᵀ · dY; a transposed operand's gradient is
 * that product transposed, which swaps the factors. So no transpose is ever written out.
 */
export const fusedMatMul: OpDef = {
  name: 'FusedMatMul',
  domain: 'com.microsoft',
  infer: (inputs, attributes) => [
    productType(
      given(inputs, 0),
      given(inputs, 1),
      !!numberAttribute(attributes, 'transA', 0),
      !!numberAttribute(attributes, 'transB', 0),
    ),
  ],
  gradient: differentiable(({ g, dy, node, needs, input }) => {
    const [a, b] = [input(0), input(1)];
    const transA = !!numberAttribute(node.attributes, 'transA', 0);
    const transB = !!numberAttribute(node.attributes, 'transB', 0);
    const alpha = numberAttribute(node.attributes, 'alpha', 1);
    if (b.shape.length === 2 && !transA && alpha === 1) {
      const [rows, dRows] = [asMatrix(g, a), asMatrix(g, dy)];
      const db = () =>
        transB ? g.gemm(dRows, rows, null, { transA: true }) : g.gemm(rows, dRows, null, { transA: true });
      return [
        needs(0) ? g.reshape(g.gemm(dRows, b, null, { transB: !transB }), a.shape) : null,
        needs(1) ? db() : null,
      ];
    }
    const da = () =>
      transA
        ? g.fusedMatMul(b, dy, { transA: transB, transB: true, alpha })
        : g.fusedMatMul(dy, b, { transB: !transB, alpha });
    const db = () =>
      transB
        ? g.fusedMatMul(dy, a, { transA: true, transB: transA, alpha })
        : g.fusedMatMul(a, dy, { transA: !transA, alpha });
    return [needs(0) ? da() : null, needs(1) ? db() : null];
  }),
  examples: [
    {
      name: 'plain',
      inputs: [{ shape: [2, 3, 4] }, { shape: [2, 4, 5] }],
      attributes: { alpha: 0.5 },
      shapes: [[2, 3, 5]],
    },
    {
      name: 'queries by keys',
      inputs: [{ shape: [2, 3, 5, 4] }, { shape: [2, 3, 7, 4] }],
      attributes: { transB: 1, alpha: 0.25 },
      shapes: [[2, 3, 5, 7]],
    },
    {
      name: 'left transposed',
      inputs: [{ shape: [3, 4, 2] }, { shape: [3, 4, 5] }],
      attributes: { transA: 1 },
      shapes: [[3, 2, 5]],
    },
    {
      name: 'both transposed',
      inputs: [{ shape: [2, 4, 3] }, { shape: [2, 5, 4] }],
      attributes: { transA: 1, transB: 1, alpha: 2 },
      shapes: [[2, 3, 5]],
    },
    {
      name: 'a batch by one weight, transposed',
      inputs: [{ shape: [2, 3, 4] }, { shape: [5, 4] }],
      attributes: { transB: 1 },
      shapes: [[2, 3, 5]],
    },
    {
      name: 'leading dimensions stretch, left transposed',
      inputs: [{ shape: [2, 1, 4, 3] }, { shape: [5, 4, 2] }],
      attributes: { transA: 1 },
      shapes: [[2, 5, 3, 2]],
    },
    {
      name: 'matrices',
      inputs: [
        { shape: [2, 2], data: [1, 2, 3, 4] },
        { shape: [1, 2], data: [5, 6] },
      ],
      attributes: { transA: 1, transB: 1, alpha: 0.5 },
      shapes: [[2, 1]],
      expect: [11.5, 17],
    },
  ],
};
