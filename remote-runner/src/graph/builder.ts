/**
 * Writes graphs: `builder.matMul(a, b)` infers the shape, appends the node and returns its value.
 * Gradient rules write through the same builder, so that a gradient is ordinary graph.
 */
import {
  type Attributes,
  type ConstantData,
  type DType,
  Graph,
  GraphError,
  type Node,
  type Shape,
  sameShape,
  type TensorType,
  type Value,
} from './ir';
import { isCastable, isLow, lowBits, operandType, type Precision } from './lowPrecision';
import { broadcastAxes, broadcastShapes, normalizeAxis } from './shape';

/** What a builder must know of an op: the types of its outputs. `ops/op.ts` has the whole of an op. */
export interface ShapeRule {
  infer(inputs: readonly (TensorType | null)[], attributes: Attributes): readonly TensorType[];
}

export class Builder {
  readonly graph: Graph;
  private place = '';
  private readonly scalars = new Map<string, Value>();
  private readonly casts = new Map<string, Value>();
  private computesIn: Precision;

  /** @param precision what ops compute in: their operands are cast as `lowPrecision.ts` says */
  constructor(
    private readonly rules: ReadonlyMap<string, ShapeRule>,
    graph: Graph | string,
    precision: Precision = 'float32',
  ) {
    this.computesIn = precision;
    this.graph = typeof graph === 'string' ? new Graph(graph) : graph;
  }

  /** What the ops that are written now compute in. */
  get precision(): Precision {
    return this.computesIn;
  }

  // --- sources ---

  input(name: string, dtype: DType, shape: Shape): Value {
    return this.graph.addInput(name, { dtype, shape });
  }

  constant(data: ConstantData, dtype: DType, shape: Shape): Value {
    return this.graph.addConstant(data, { dtype, shape });
  }

  /** A rank-0 constant; equal ones are shared. */
  scalar(value: number, dtype: DType = 'float32'): Value {
    const key = `${dtype}:${Object.is(value, -0) ? '-0' : value}`;
    let found = this.scalars.get(key);
    if (!found) {
      found = this.graph.addConstant(filled(dtype, 1, value), { dtype, shape: [] }, 'scalar');
      this.scalars.set(key, found);
    }
    return found;
  }

  /** Names the part of the model that `body` builds; nests with "/". */
  scope<T>(name: string, body: () => T): T {
    const outer = this.place;
    this.place = outer ? `${outer}/${name}` : name;
    try {
      return body();
    } finally {
      this.place = outer;
    }
  }

  /** What `body` writes has operands of the types that it says. */
  withoutCasts<T>(body: () => T): T {
    const outer = this.computesIn;
    this.computesIn = 'float32';
    try {
      return body();
    } finally {
      this.computesIn = outer;
    }
  }

  output(name: string, value: Value): void {
    this.graph.setOutput(name, value);
  }

  // --- nodes ---

  /** Appends a node of a registered op and returns it. */
  node(op: string, operands: readonly (Value | null)[], attributes: Attributes = {}): Node {
    const def = this.rules.get(op);
    if (!def) throw new GraphError(`there is no op ${op}`);
    const inputs = this.castOperands(op, operands);
    let types: readonly TensorType[];
    try {
      types = def.infer(inputs, attributes);
    } catch (error) {
      if (error instanceof GraphError) throw new GraphError(`${op} at ${this.place || 'the top'}: ${error.message}`);
      throw error;
    }
    return this.graph.addNode(op, inputs, attributes, types, this.place);
  }

  /** As {@link node}, for ops of which one result is wanted: the first. */
  apply(op: string, inputs: readonly (Value | null)[], attributes: Attributes = {}): Value {
    return this.node(op, inputs, attributes).outputs[0]!;
  }

  // Element-wise arithmetic; operands broadcast, numbers become scalars of the other operand's type.
  add = (a: Value | number, b: Value | number): Value => this.binary('Add', a, b);
  sub = (a: Value | number, b: Value | number): Value => this.binary('Sub', a, b);
  mul = (a: Value | number, b: Value | number): Value => this.binary('Mul', a, b);
  div = (a: Value | number, b: Value | number): Value => this.binary('Div', a, b);
  pow = (a: Value, b: Value | number): Value => this.binary('Pow', a, b);
  min = (a: Value | number, b: Value | number): Value => this.binary('Min', a, b);
  max = (a: Value | number, b: Value | number): Value => this.binary('Max', a, b);
  equal = (a: Value, b: Value | number): Value => this.binary('Equal', a, b);
  less = (a: Value | number, b: Value | number): Value => this.binary('Less', a, b);
  greater = (a: Value | number, b: Value | number): Value => this.binary('Greater', a, b);
  neg = (x: Value): Value => this.apply('Neg', [x]);
  abs = (x: Value): Value => this.apply('Abs', [x]);
  sign = (x: Value): Value => this.apply('Sign', [x]);
  exp = (x: Value): Value => this.apply('Exp', [x]);
  log = (x: Value): Value => this.apply('Log', [x]);
  sqrt = (x: Value): Value => this.apply('Sqrt', [x]);
  reciprocal = (x: Value): Value => this.apply('Reciprocal', [x]);
  tanh = (x: Value): Value => this.apply('Tanh', [x]);
  erf = (x: Value): Value => this.apply('Erf', [x]);
  sigmoid = (x: Value): Value => this.apply('Sigmoid', [x]);
  relu = (x: Value): Value => this.apply('Relu', [x]);
  /** Exact: x Φ(x). */
  gelu = (x: Value): Value => this.apply('Gelu', [x]);
  /** The tanh approximation, `gelu_new` in transformers. */
  fastGelu = (x: Value): Value => this.apply('FastGelu', [x]);
  silu = (x: Value): Value => this.apply('Silu', [x]);
  square = (x: Value): Value => this.mul(x, x);
  /** `x` in float32, with the digits alone that are left to it where 16 bits are computed in. */
  rounded = (x: Value): Value =>
    this.precision === 'float32' ? x : this.cast(this.cast(x, this.precision), 'float32');

  cast = (x: Value, to: DType): Value => (x.dtype === to ? x : this.apply('Cast', [x], { to }));
  where = (condition: Value, a: Value | number, b: Value | number): Value => {
    const [x, y] = this.operands(a, b);
    return this.apply('Where', [condition, x, y]);
  };

  /** Batched matrix product; leading dimensions broadcast. */
  matMul = (a: Value, b: Value): Value => this.apply('MatMul', [a, b]);
  /** alpha · op(a) · op(b), with op the transpose of the last two dimensions where asked. */
  fusedMatMul = (a: Value, b: Value, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): Value =>
    this.apply('FusedMatMul', [a, b], {
      transA: options.transA ? 1 : 0,
      transB: options.transB ? 1 : 0,
      alpha: options.alpha ?? 1,
    });
  /** op(a) · op(b) + c over matrices; c broadcasts. */
  gemm = (a: Value, b: Value, c: Value | null = null, options: { transA?: boolean; transB?: boolean } = {}): Value =>
    this.apply('Gemm', c ? [a, b, c] : [a, b], { transA: options.transA ? 1 : 0, transB: options.transB ? 1 : 0 });

  transpose = (x: Value, perm: readonly number[]): Value =>
    perm.every((from, to) => from === to) ? x : this.apply('Transpose', [x], { perm });
  reshape = (x: Value, shape: readonly number[]): Value =>
    sameShape(x.shape, shape) ? x : this.apply('Reshape', [x], { shape });
  expand = (x: Value, shape: Shape): Value => (sameShape(x.shape, shape) ? x : this.apply('Expand', [x], { shape }));
  concat = (values: readonly Value[], axis: number): Value =>
    values.length === 1 ? values[0]! : this.apply('Concat', values, { axis });
  split = (x: Value, sizes: readonly number[], axis: number): readonly Value[] =>
    this.node('Split', [x], { sizes, axis }).outputs;
  /** Elements from `start` to before `end` of each given axis (step 1). */
  slice = (x: Value, axes: readonly number[], starts: readonly number[], ends: readonly number[]): Value =>
    this.apply('Slice', [x], { axes, starts, ends });
  /** Zeros before and after, along each axis. */
  pad = (x: Value, before: readonly number[], after: readonly number[]): Value =>
    before.some((n) => n > 0) || after.some((n) => n > 0) ? this.apply('Pad', [x], { before, after }) : x;
  gather = (x: Value, indices: Value, axis = 0): Value => this.apply('Gather', [x, indices], { axis });
  gatherElements = (x: Value, indices: Value, axis: number): Value =>
    this.apply('GatherElements', [x, indices], { axis });
  /** `x` with `updates` added at `indices` along `axis`; repeated indices add up. */
  scatterAdd = (x: Value, indices: Value, updates: Value, axis: number): Value =>
    this.apply('ScatterElements', [x, indices, updates], { axis, reduction: 'add' });

  reduceSum = (x: Value, axes: readonly number[], keepDims = false): Value =>
    this.reduce('ReduceSum', x, axes, keepDims);
  reduceMean = (x: Value, axes: readonly number[], keepDims = false): Value =>
    this.reduce('ReduceMean', x, axes, keepDims);
  reduceMax = (x: Value, axes: readonly number[], keepDims = false): Value =>
    this.reduce('ReduceMax', x, axes, keepDims);
  softmax = (x: Value, axis = -1): Value => this.apply('Softmax', [x], { axis });
  logSoftmax = (x: Value, axis = -1): Value => this.apply('LogSoftmax', [x], { axis });
  layerNorm = (x: Value, scale: Value, bias: Value, epsilon: number): Value =>
    this.apply('LayerNormalization', [x, scale, bias], { axis: -1, epsilon });
  /** Root-mean-square norm (Zhang & Sennrich 2019): x / √(mean(x²) + ε) · scale. */
  rmsNorm = (x: Value, scale: Value, epsilon: number): Value => this.apply('RmsNorm', [x, scale], { epsilon });

  zeros(shape: Shape, dtype: DType = 'float32'): Value {
    return this.expand(this.scalar(0, dtype), shape);
  }

  ones(shape: Shape, dtype: DType = 'float32'): Value {
    return this.expand(this.scalar(1, dtype), shape);
  }

  /** Sums `x` back to `shape`, from which it was broadcast. */
  sumTo(x: Value, shape: Shape): Value {
    const axes = broadcastAxes(x.shape, shape);
    if (axes.length === 0) return this.reshape(x, shape);
    const summed = this.reduceSum(isLow(x.dtype) ? this.cast(x, 'float32') : x, axes, false);
    return this.reshape(this.cast(summed, x.dtype), shape);
  }

  /** One cast for all who want a value in another type. */
  private castOperands(op: string, inputs: readonly (Value | null)[]): readonly (Value | null)[] {
    const to = operandType(op, inputs, this.computesIn);
    if (to === undefined) return inputs;
    return inputs.map((input) => {
      if (!input || input.dtype === to || !isCastable(input)) return input;
      const key = `${input.id} ${to}`;
      const known = this.casts.get(key);
      if (known) return known;
      const made = this.cast(input, to);
      this.casts.set(key, made);
      return made;
    });
  }

  private reduce(op: string, x: Value, axes: readonly number[], keepDims: boolean): Value {
    return this.apply(op, [x], {
      axes: axes.map((axis) => normalizeAxis(axis, x.shape.length)),
      keepdims: keepDims ? 1 : 0,
    });
  }

  private binary(op: string, a: Value | number, b: Value | number): Value {
    return this.apply(op, this.operands(a, b));
  }

  private operands(a: Value | number, b: Value | number): [Value, Value] {
    if (typeof a === 'number') {
      if (typeof b === 'number') throw new GraphError('an op of two numbers is a number: compute it');
      return [this.scalar(a, b.dtype), b];
    }
    const right = typeof b === 'number' ? this.scalar(b, a.dtype) : b;
    broadcastShapes(a.shape, right.shape);
    return [a, right];
  }
}

/** An array of `dtype` filled with one number. */
export function filled(dtype: DType, length: number, value: number): ConstantData {
  switch (dtype) {
    case 'float32':
      return new Float32Array(length).fill(value);
    case 'float64':
      return new Float64Array(length).fill(value);
    case 'int64':
      return new BigInt64Array(length).fill(BigInt(value));
    case 'uint64':
      return new BigUint64Array(length).fill(BigInt(value));
    case 'int32':
      return new Int32Array(length).fill(value);
    case 'uint32':
      return new Uint32Array(length).fill(value);
    case 'uint8':
    case 'bool':
      return new Uint8Array(length).fill(value);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(length).fill(lowBits(value, dtype));
  }
}
