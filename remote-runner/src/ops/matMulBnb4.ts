import type { Builder } from '../graph/builder';
import { type Attributes, formatShape, GraphError, type Value } from '../graph/ir';
import { NF4_BLOCK, NF4_VALUES } from '../quantization/nf4';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireDType, requireFloat, requireRank } from './typeRules';

/** [256, 2]: the two numbers that each byte stands for. */
const PAIRS = Float32Array.from({ length: 512 }, (_, i) => NF4_VALUES[i % 2 === 0 ? i >> 5 : (i >> 1) & 15]!);

/** W [N, K] in float32 from its bytes and each block's scale. */
export function dequantizeNf4(
  g: Builder,
  packed: Value,
  absmax: Value,
  [rows, columns]: readonly [number, number],
): Value {
  const [blocks] = absmax.shape as [number];
  const count = rows * columns;
  const missing = blocks * NF4_BLOCK - packed.shape[0]! * 2;
  const pairs = g.gather(g.constant(PAIRS, 'float32', [256, 2]), g.cast(packed, 'int32'));
  const all = g.pad(g.reshape(pairs, [packed.shape[0]! * 2]), [0], [missing]);
  const scaled = g.mul(g.reshape(all, [blocks, NF4_BLOCK]), g.reshape(absmax, [blocks, 1]));
  const flat = g.reshape(scaled, [blocks * NF4_BLOCK]);
  return g.reshape(flat.shape[0] === count ? flat : g.slice(flat, [0], [0], [count]), [rows, columns]);
}

/**
 * Y [M, N] = X [M, K] Wᵀ of a W [N, K] in 4 bits: bytes uint8 [⌈N K / 2⌉], two NF4 codes each, and each block's scale
 * [⌈N K / 64⌉]. W has no gradient; X's is dY W, of a W that is made anew.
 *
 * Source: com.microsoft.MatMulBnb4 in ONNX Runtime's ContribOperators.md. In 16 bits that kernel would round
 * the scales.
 */
export const matMulBnb4: OpDef = {
  name: 'MatMulBnb4',
  infer: (inputs, attributes) => {
    const [x, packed, absmax] = [given(inputs, 0), given(inputs, 1), given(inputs, 2)];
    requireFloat(x);
    requireRank(x, 'x', 2);
    requireDType(packed, 'the bytes', 'uint8');
    requireDType(absmax, 'the scales', 'float32');
    const [rows, columns] = sizes(attributes);
    if (x.shape[1] !== columns || packed.shape[0] !== Math.ceil((rows * columns) / 2))
      throw new GraphError(
        `${rows} × ${columns} weights do not fit x ${formatShape(x.shape)} and ${packed.shape[0]} bytes`,
      );
    return [{ dtype: x.dtype, shape: [x.shape[0]!, rows] }];
  },
  gradient: differentiable(({ g, dy, input, node, needs }) => {
    if (!needs(0)) return [null, null, null];
    return [g.gemm(dy, dequantizeNf4(g, input(1), input(2), sizes(node.attributes))), null, null];
  }),
  onnx(node, emit) {
    const [rows, columns] = sizes(node.attributes);
    const attributes = { K: columns, N: rows, block_size: NF4_BLOCK, quant_type: 1 };
    emit.node('MatMulBnb4', [0, 1, 2].map(emit.input), [emit.output(0)], attributes, 'com.microsoft');
  },
  // It unpacks the whole matrix, then multiplies.
  scratchBytes({ attributes }) {
    const [rows, columns] = sizes(attributes);
    return 4 * rows * columns;
  },
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [1, 4], data: [1, 10, 100, 1000] },
        // -1, 1, 0, 1
        { dtype: 'uint8', shape: [2], data: [0x0f, 0x7f] },
        { shape: [1], data: [2] },
      ],
      attributes: { N: 1, K: 4 },
      shapes: [[1, 1]],
      expect: [2018],
      check: [],
    },
    {
      name: 'a block that is not full',
      inputs: [
        { shape: [5, 22], range: [-1, 1] },
        { dtype: 'uint8', shape: [33], data: Array.from({ length: 33 }, (_, i) => (37 * i + 11) % 256) },
        { shape: [2], data: [0.5, 2] },
      ],
      attributes: { N: 3, K: 22 },
      shapes: [[5, 3]],
      check: [0],
    },
  ],
};

function sizes(attributes: Attributes): [number, number] {
  return [numberAttribute(attributes, 'N'), numberAttribute(attributes, 'K')];
}
