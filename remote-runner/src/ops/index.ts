/** Every op. A new one is a file in this folder and a line here. */
import { Builder } from '../graph/builder';
import type { Precision } from '../graph/lowPrecision';
import { abs } from './abs';
import { add } from './add';
import { cast } from './cast';
import { equal, greater, less } from './comparisons';
import { concat } from './concat';
import { cos } from './cos';
import { div } from './div';
import { dropoutMask } from './dropoutMask';
import { erf } from './erf';
import { exp } from './exp';
import { expand } from './expand';
import { max, min } from './extremes';
import { fastGelu } from './fastGelu';
import { fusedMatMul } from './fusedMatMul';
import { gather } from './gather';
import { gatherElements } from './gatherElements';
import { gatherNd } from './gatherNd';
import { gelu } from './gelu';
import { gemm } from './gemm';
import { bitShift, bitwiseAnd, bitwiseXor, mod } from './integers';
import { layerNormalization } from './layerNormalization';
import { log } from './log';
import { and, not } from './logic';
import { logSoftmax } from './logSoftmax';
import { logSumExp } from './logSumExp';
import { matMul } from './matMul';
import { matMulBnb4 } from './matMulBnb4';
import { mul } from './mul';
import { multiHeadAttention } from './multiHeadAttention';
import { neg } from './neg';
import type { OpDef, OpRegistry } from './op';
import { pad } from './pad';
import { pow } from './pow';
import { reciprocal } from './reciprocal';
import { reduceMax, reduceMean, reduceSum } from './reductions';
import { relu } from './relu';
import { reshape } from './reshape';
import { rmsNorm } from './rmsNorm';
import { rotaryEmbedding } from './rotaryEmbedding';
import { scatterElements } from './scatterElements';
import { scatterNd } from './scatterNd';
import { sigmoid } from './sigmoid';
import { sign } from './sign';
import { silu } from './silu';
import { sin } from './sin';
import { slice } from './slice';
import { softmax } from './softmax';
import { split } from './split';
import { sqrt } from './sqrt';
import { standsFor } from './standsFor';
import { stopGradient } from './stopGradient';
import { sub } from './sub';
import { takeRows } from './takeRows';
import { tanh } from './tanh';
import { together } from './together';
import { transpose } from './transpose';
import { where } from './where';

const ALL: readonly OpDef[] = [
  abs,
  add,
  and,
  bitShift,
  bitwiseAnd,
  bitwiseXor,
  cast,
  concat,
  cos,
  div,
  dropoutMask,
  equal,
  erf,
  exp,
  expand,
  fastGelu,
  fusedMatMul,
  gather,
  gatherElements,
  gatherNd,
  gelu,
  gemm,
  greater,
  layerNormalization,
  less,
  log,
  logSoftmax,
  logSumExp,
  matMul,
  matMulBnb4,
  max,
  min,
  mod,
  mul,
  multiHeadAttention,
  neg,
  not,
  pad,
  pow,
  reciprocal,
  reduceMax,
  reduceMean,
  reduceSum,
  relu,
  reshape,
  rmsNorm,
  rotaryEmbedding,
  scatterElements,
  scatterNd,
  sigmoid,
  sign,
  silu,
  sin,
  slice,
  softmax,
  split,
  sqrt,
  standsFor,
  stopGradient,
  sub,
  takeRows,
  tanh,
  together,
  transpose,
  where,
];

export const ops: OpRegistry = new Map(ALL.map((op) => [op.name, op]));

/** A builder of a new, empty graph that knows every op. @param precision what the graph computes in */
export function newBuilder(name: string, precision?: Precision): Builder {
  return new Builder(ops, name, precision);
}
