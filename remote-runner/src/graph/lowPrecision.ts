/**
 * Computing with 16-bit numbers, as torch.autocast does it: weights stay float32, products take and give 16 bits, and what
 * would lose too much (sums over many numbers, exponentials, norms, losses) is computed in float32. {@link CASTS} says which
 * op is which; a graph's builder puts the casts in.
 */
import type { DType, TensorType, Value } from './ir';

/** What a model computes in; its weights, gradients and moments are float32 always. */
export type Precision = 'float32' | 'bfloat16' | 'float16';

export const isLow = (dtype: DType): boolean => dtype === 'bfloat16' || dtype === 'float16';

/** Which type an op's operands get: 16 bits, float32, the widest of them, or that which they have. */
type CastRule = 'low' | 'float32' | 'widest' | 'as they are';

/** Every op that takes real numbers. */
export const CASTS: Readonly<Record<string, CastRule>> = {
  Gemm: 'low',
  MatMul: 'low',
  FusedMatMul: 'low',
  MultiHeadAttention: 'low',

  Exp: 'float32',
  Log: 'float32',
  Pow: 'float32',
  Cos: 'float32',
  Sin: 'float32',
  Sqrt: 'float32',
  Reciprocal: 'float32',
  Div: 'float32',
  Erf: 'float32',
  Softmax: 'float32',
  LogSoftmax: 'float32',
  LogSumExp: 'float32',
  LayerNormalization: 'float32',
  MatMulBnb4: 'float32',
  RmsNorm: 'float32',
  RotaryEmbedding: 'float32',
  ReduceSum: 'float32',
  ReduceMean: 'float32',
  ScatterElements: 'float32',
  ScatterND: 'float32',

  Add: 'widest',
  Sub: 'widest',
  Mul: 'widest',
  Min: 'widest',
  Max: 'widest',
  Equal: 'widest',
  Less: 'widest',
  Greater: 'widest',
  Where: 'widest',
  Concat: 'widest',
  Together: 'widest',

  Abs: 'as they are',
  Cast: 'as they are',
  Expand: 'as they are',
  FastGelu: 'as they are',
  Gather: 'as they are',
  GatherElements: 'as they are',
  GatherND: 'as they are',
  Gelu: 'as they are',
  Neg: 'as they are',
  Pad: 'as they are',
  ReduceMax: 'as they are',
  Relu: 'as they are',
  Reshape: 'as they are',
  Sigmoid: 'as they are',
  Sign: 'as they are',
  Silu: 'as they are',
  Slice: 'as they are',
  Split: 'as they are',
  StandsFor: 'as they are',
  StopGradient: 'as they are',
  TakeRows: 'as they are',
  Tanh: 'as they are',
  Transpose: 'as they are',
};

/**
 * Ops whose gradient is a product or moves numbers about, which 16 bits do as well as the op itself. The others' rules are
 * made of several steps, each of which would round: they are computed in float32.
 */
export const ROUNDS_ONCE: ReadonlySet<string> = new Set([
  'Gemm',
  'MatMul',
  'FusedMatMul',
  'Add',
  'Sub',
  'Neg',
  'Cast',
  'Concat',
  'Expand',
  'Gather',
  'Pad',
  'Relu',
  'Reshape',
  'Slice',
  'Split',
  'TakeRows',
  'Together',
  'Transpose',
  'Where',
]);

/** What `op` wants its operands as; undefined where they stay. */
export function operandType(
  op: string,
  inputs: readonly (TensorType | null)[],
  precision: Precision,
): Precision | undefined {
  const rule = CASTS[op];
  if (precision === 'float32' || rule === undefined || rule === 'as they are') return undefined;
  if (rule !== 'widest') return rule === 'low' ? precision : 'float32';
  return inputs.some((input) => input?.dtype === 'float32') ? 'float32' : undefined;
}

/** float32 or one of the 16-bit types: what casts between precisions are about. */
export const isCastable = ({ dtype }: TensorType): boolean => dtype === 'float32' || isLow(dtype);

/**
 * A cast that costs less to make again than its result costs to keep: of a 16-bit value to float32, or of something that
 * is there anyway.
 */
export function isCheapCast({ source, dtype }: Value): boolean {
  if (source.kind !== 'node' || source.node.op !== 'Cast') return false;
  const from = source.node.inputs[0]!;
  return (isLow(from.dtype) && dtype === 'float32') || (isLow(dtype) && from.source.kind !== 'node');
}

const bits = new Uint32Array(1);
const number = new Float32Array(bits.buffer);

/** The nearest number of 16 bits, as its bit pattern; ties go to even. */
export function lowBits(value: number, dtype: 'bfloat16' | 'float16'): number {
  number[0] = value;
  const word = bits[0]!;
  if (dtype === 'bfloat16') {
    if (Number.isNaN(value)) return 0x7fc0;
    return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
  }
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is where rounding goes to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 numbers are multiples of 2^-24.
  if (magnitude < 0x38800000) return sign | roundToEven(Math.abs(value) * 2 ** 24);
  return sign | (((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13) & 0x7fff);
}

function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest === 0.5) return floor + (floor % 2);
  return rest > 0.5 ? floor + 1 : floor;
}
