/** Models of which matrices are there in 4 or 8 bits: what is multiplied is made of them where it is wanted. */
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { Matrix } from '../methods/targets';
import type { BodyContext, CausalLm, ParameterSpec } from '../models/causalLm';
import { dequantizeNf4 } from '../ops/matMulBnb4';
import { INT8_ZERO, quantizeInt8 } from './int8';
import { DYNAMIC_VALUES, NESTED_BLOCK, nf4Sizes, quantizeNf4 } from './nf4';

/** A tensor in place of a matrix's weight. */
interface Part {
  /** Behind the matrix's name. */
  readonly end: string;
  readonly dtype: 'uint8' | 'float32';
  readonly shape: readonly number[];
}

/** A way to hold a matrix W [out, in] in few bits. */
export interface QuantizationScheme {
  parts(matrix: Matrix): readonly Part[];
  /** Fills the parts from W, row-major. @param into by their ends */
  quantize(weight: Float32Array, into: (end: string) => Uint8Array | Float32Array): void;
  /** x [N, in] → x Wᵀ [N, out] */
  product(context: BodyContext, x: Value, matrix: Matrix, part: (end: string) => Value): Value;
}

/** Names of parts are those of bitsandbytes' files. */
export const nf4: QuantizationScheme = {
  parts({ inner, out }) {
    const sizes = nf4Sizes(inner * out);
    return [
      { end: '.weight', dtype: 'uint8', shape: [sizes.packed] },
      { end: '.weight.absmax', dtype: 'uint8', shape: [sizes.absmax] },
      { end: '.weight.nested_absmax', dtype: 'float32', shape: [sizes.nestedAbsmax] },
      { end: '.weight.nested_offset', dtype: 'float32', shape: [sizes.offset] },
    ];
  },
  quantize: (weight, into) =>
    quantizeNf4(weight, {
      packed: into('.weight') as Uint8Array,
      absmax: into('.weight.absmax') as Uint8Array,
      nestedAbsmax: into('.weight.nested_absmax') as Float32Array,
      offset: into('.weight.nested_offset') as Float32Array,
    }),
  product({ g, computedAgain = (make) => make() }, x, { inner, out }, part) {
    const scales = () =>
      nestedScales(g, part('.weight.absmax'), part('.weight.nested_absmax'), part('.weight.nested_offset'));
    if (g.precision === 'float32')
      return g.apply('MatMulBnb4', [x, part('.weight'), computedAgain(scales)], { N: out, K: inner });
    const weight = computedAgain(() => dequantizeNf4(g, part('.weight'), scales(), [out, inner]));
    return g.gemm(x, weight, null, { transB: true });
  },
};

/** float32 [blocks]: each block's scale. */
function nestedScales(g: Builder, codes: Value, nested: Value, offset: Value): Value {
  const [blocks] = codes.shape as [number];
  const [groups] = nested.shape as [number];
  const values = g.gather(g.constant(DYNAMIC_VALUES, 'float32', [256]), g.cast(codes, 'int32'));
  const whole = g.pad(values, [0], [groups * NESTED_BLOCK - blocks]);
  const scaled = g.mul(g.reshape(whole, [groups, NESTED_BLOCK]), g.reshape(nested, [groups, 1]));
  const flat = g.reshape(g.add(scaled, g.reshape(offset, [1, 1])), [groups * NESTED_BLOCK]);
  return groups * NESTED_BLOCK === blocks ? flat : g.slice(flat, [0], [0], [blocks]);
}

/** Names of parts are those of bitsandbytes' files. */
export const int8: QuantizationScheme = {
  parts: ({ inner, out }) => [
    { end: '.weight', dtype: 'uint8', shape: [out, inner] },
    { end: '.SCB', dtype: 'float32', shape: [out] },
  ],
  quantize: (weight, into) =>
    quantizeInt8(weight, { codes: into('.weight') as Uint8Array, scales: into('.SCB') as Float32Array }),
  product({ g, computedAgain = (make) => make() }, x, { out }, part) {
    const weight = computedAgain(() =>
      g.mul(g.sub(g.cast(part('.weight'), 'float32'), INT8_ZERO), g.reshape(part('.SCB'), [out, 1])),
    );
    return g.gemm(x, weight, null, { transB: true });
  },
};

/** The model with these matrices held as the scheme has them. */
export function quantized(model: CausalLm, matrices: readonly Matrix[], scheme: QuantizationScheme): CausalLm {
  const byName = new Map(matrices.map((matrix) => [matrix.name, matrix]));
  const replaced = new Set(matrices.map(({ name }) => `${name}.weight`));
  const parameters: ParameterSpec[] = [
    ...model.parameters.filter(({ name }) => !replaced.has(name)),
    ...matrices.flatMap((matrix) => specsOf(matrix, scheme)),
  ];
  return {
    ...model,
    parameters,
    body: (context) =>
      model.body({
        ...context,
        product(name, x) {
          const matrix = byName.get(name);
          return matrix && scheme.product(context, x, matrix, (end) => context.param(`${name}${end}`));
        },
      }),
  };
}

function specsOf(matrix: Matrix, scheme: QuantizationScheme): ParameterSpec[] {
  return scheme.parts(matrix).map(({ end, dtype, shape }) => ({
    name: `${matrix.name}${end}`,
    shape,
    decay: false,
    init: { kind: 'zeros' },
    ...(dtype === 'uint8' && { dtype }),
  }));
}
