import { asMatrix, productType } from './matrixRules';
import { differentiable, type OpDef } from './op';
import { given } from './typeRules';

/**
 * Batched matrix product [.., m, k] · [.., k, n] → [.., m, n]; leading dimensions broadcast.
 * dA = dY · Bᵀ, dB = Aᵀ · dY. Where B is one matrix (a weight) the batch is folded into the rows, so that both are a
 * single Gemm and dB needs no sum afterwards; else the transposes are flags of FusedMatMul.
 */
export const matMul: OpDef = {
  name: 'MatMul',
  infer: (inputs) => [productType(given(inputs, 0), given(inputs, 1), false, false)],
  gradient: differentiable(({ g, dy, needs, input }) => {
    const [a, b] = [input(0), input(1)];
    if (b.shape.length === 2) {
      const [rows, dRows] = [asMatrix(g, a), asMatrix(g, dy)];
      return [
        needs(0) ? g.reshape(g.gemm(dRows, b, null, { transB: true }), a.shape) : null,
        needs(1) ? g.gemm(rows, dRows, null, { transA: true }) : null,
      ];
    }
    return [
      needs(0) ? g.fusedMatMul(dy, b, { transB: true }) : null,
      needs(1) ? g.fusedMatMul(a, dy, { transA: true }) : null,
    ];
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [2, 2], data: [1, 2, 3, 4] },
        { shape: [2, 1], data: [5, 6] },
      ],
      shapes: [[2, 1]],
      expect: [17, 39],
    },
    { name: 'matrices', inputs: [{ shape: [3, 5] }, { shape: [5, 2] }], shapes: [[3, 2]] },
    { name: 'a batch by one weight', inputs: [{ shape: [2, 3, 5] }, { shape: [5, 4] }], shapes: [[2, 3, 4]] },
    { name: 'a batch by a batch', inputs: [{ shape: [2, 3, 5, 4] }, { shape: [2, 3, 4, 2] }], shapes: [[2, 3, 5, 2]] },
    {
      name: 'leading dimensions stretch',
      inputs: [{ shape: [2, 1, 3, 4] }, { shape: [5, 4, 2] }],
      shapes: [[2, 5, 3, 2]],
    },
    { name: 'one matrix by a batch', inputs: [{ shape: [3, 4] }, { shape: [2, 4, 3] }], shapes: [[2, 3, 3]] },
  ],
};
