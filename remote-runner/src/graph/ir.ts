/**
 * The intermediate representation: a list of nodes in topological order over values with static shapes.
 *
 * A graph is append-only. Passes do not edit a graph, they write a new one ({@link rewrite} in `passes/rewrite.ts`);
 * so a value, once made, always means the same.
 */

export type DType =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float64'
  | 'int64'
  | 'int32'
  | 'uint64'
  | 'uint32'
  | 'uint8'
  | 'bool';
export type Shape = readonly number[];

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Constant data. int64 is held as BigInt64Array; bool and uint8 as Uint8Array; float16 and bfloat16 as bit patterns. */
export type ConstantData =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** Bytes of a tensor that stay in a file: ONNX external data. `offset` and `length` in bytes. */
export interface ExternalData {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export type Source =
  | { readonly kind: 'input' }
  | { readonly kind: 'constant'; readonly data: ConstantData }
  | { readonly kind: 'external'; readonly external: ExternalData }
  | { readonly kind: 'node'; readonly node: Node; readonly index: number };

export interface Value extends TensorType {
  readonly id: number;
  readonly name: string;
  readonly source: Source;
}

export type Attribute = number | string | boolean | readonly number[];
export type Attributes = Readonly<Record<string, Attribute>>;

export interface Node {
  readonly id: number;
  /** Name of an op in the registry. */
  readonly op: string;
  /** `null` stands for an optional input that is not given. */
  readonly inputs: readonly (Value | null)[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
  /** Where in the model the node comes from: "h.3/attn". */
  readonly place: string;
}

export class Graph {
  readonly inputs: Value[] = [];
  readonly constants: Value[] = [];
  readonly nodes: Node[] = [];
  /** Named results, in the order they were declared. */
  readonly outputs = new Map<string, Value>();
  private nextId = 0;
  private readonly names = new Set<string>();

  constructor(readonly name: string) {}

  addInput(name: string, type: TensorType): Value {
    const value = this.value(name, type, { kind: 'input' }, true);
    this.inputs.push(value);
    return value;
  }

  addConstant(data: ConstantData, type: TensorType, name = 'const'): Value {
    const size = elementCount(type.shape);
    if (data.length !== size)
      throw new GraphError(
        `constant ${name} has ${data.length} elements, its shape ${formatShape(type.shape)} wants ${size}`,
      );
    const value = this.value(name, type, { kind: 'constant', data }, false);
    this.constants.push(value);
    return value;
  }

  /** A frozen tensor whose bytes stay in a file. */
  addExternal(name: string, type: TensorType, external: ExternalData): Value {
    const value = this.value(name, type, { kind: 'external', external }, true);
    this.constants.push(value);
    return value;
  }

  addNode(
    op: string,
    inputs: readonly (Value | null)[],
    attributes: Attributes,
    types: readonly TensorType[],
    place: string,
  ): Node {
    const outputs: Value[] = [];
    const node: Node = { id: this.nextId++, op, inputs, attributes, outputs, place };
    types.forEach((type, index) => {
      outputs.push(this.value(op.toLowerCase(), type, { kind: 'node', node, index }, false));
    });
    this.nodes.push(node);
    return node;
  }

  /** Declares a result. The same value may carry several names. */
  setOutput(name: string, value: Value): void {
    if (this.outputs.has(name)) throw new GraphError(`the graph has an output ${name} already`);
    this.outputs.set(name, value);
  }

  private value(name: string, type: TensorType, source: Source, exact: boolean): Value {
    if (exact && this.names.has(name)) throw new GraphError(`the graph has a value named ${name} already`);
    const id = this.nextId++;
    const unique = exact ? name : `${name}_${id}`;
    this.names.add(unique);
    return { id, name: unique, dtype: type.dtype, shape: type.shape, source };
  }
}

/** A mistake in how a graph was built: a bug of ours, never the user's. */
export class GraphError extends Error {
  override readonly name = 'GraphError';
}

export function elementCount(shape: Shape): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16' || dtype === 'float64';
}

/** Bytes of one element. */
const DTYPE_BYTES: Readonly<Record<DType, number>> = {
  float64: 8,
  int64: 8,
  uint64: 8,
  float32: 4,
  int32: 4,
  uint32: 4,
  float16: 2,
  bfloat16: 2,
  uint8: 1,
  bool: 1,
};

export function byteLength(type: TensorType): number {
  return elementCount(type.shape) * DTYPE_BYTES[type.dtype];
}
