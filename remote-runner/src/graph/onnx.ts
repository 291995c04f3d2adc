/** Writes a graph as an ONNX model (opset 18 and com.microsoft 1, IR version 9) that stock ONNX Runtime runs. */
import { basename } from 'node:path';
// A CommonJS package: Node sees no named exports in it.
import onnxProto, { type onnx } from 'onnx-proto';
import type { OnnxEmitter, OpRegistry } from '../ops/op';
import { filled } from './builder';
import {
  type Attribute,
  type ConstantData,
  type DType,
  type Graph,
  GraphError,
  type Node,
  type TensorType,
  type Value,
} from './ir';
import type { BuiltModel } from './memoryPlan';

const { AttributeProto, ModelProto, TensorProto } = onnxProto.onnx;

const OPSET = 18;
const CONTRIB_OPSET = 1;
const IR_VERSION = 9;

/** ONNX's number of a type, which is ONNX Runtime's too. */
export const DATA_TYPE: Readonly<Record<DType, number>> = {
  float32: TensorProto.DataType.FLOAT,
  float64: TensorProto.DataType.DOUBLE,
  float16: TensorProto.DataType.FLOAT16,
  bfloat16: TensorProto.DataType.BFLOAT16,
  int64: TensorProto.DataType.INT64,
  uint64: TensorProto.DataType.UINT64,
  int32: TensorProto.DataType.INT32,
  uint32: TensorProto.DataType.UINT32,
  uint8: TensorProto.DataType.UINT8,
  bool: TensorProto.DataType.BOOL,
};

/** Attributes that hold a {@link DType} by name and are a number in ONNX. */
const TYPE_ATTRIBUTES = new Set(['to']);

/**
 * `graph` as an ONNX model. Frozen tensors become external data that name their file by its base name: the model must be
 * loaded from a folder that holds that file.
 */
export function buildModel(graph: Graph, ops: OpRegistry): BuiltModel {
  return new ModelWriter(graph, ops).write();
}

/** {@link buildModel}, encoded. */
export function serializeModel(graph: Graph, ops: OpRegistry): Uint8Array {
  return encodeModel(buildModel(graph, ops).model, []);
}

/** A model as ONNX Runtime reads it, with `further` values of it as results too. */
export function encodeModel(model: onnx.IModelProto, further: Iterable<readonly [string, TensorType]>): Uint8Array {
  const output = [...model.graph!.output!];
  for (const [name, type] of further) output.push(valueInfo(name, type));
  return ModelProto.encode({ ...model, graph: { ...model.graph, output } }).finish();
}

class ModelWriter {
  private readonly nodes: onnx.INodeProto[] = [];
  private readonly initializers: onnx.ITensorProto[] = [];
  private readonly shared = new Map<string, string>();
  private readonly outputNames = new Map<Value, string>();
  private readonly inner = new Map<string, TensorType>();
  private temporaries = 0;

  constructor(
    private readonly graph: Graph,
    private readonly ops: OpRegistry,
  ) {}

  write(): BuiltModel {
    // A value made by a node takes its output's name directly; inputs, and a second name for one value, go through Identity.
    const aliases: [string, Value][] = [];
    for (const [name, value] of this.graph.outputs) {
      if (value.source.kind === 'node' && !this.outputNames.has(value)) this.outputNames.set(value, name);
      else aliases.push([name, value]);
    }
    for (const constant of this.graph.constants) this.constant(constant);
    // Right behind its value: what comes last is what ONNX Runtime begins with.
    const alias = (of: Node | undefined) => {
      for (const [name, value] of aliases) {
        if ((value.source.kind === 'node' ? value.source.node : undefined) !== of) continue;
        this.nodes.push({ opType: 'Identity', input: [this.name(value)], output: [name], name: `identity_${name}` });
      }
    };
    alias(undefined);
    for (const node of this.graph.nodes) {
      this.node(node);
      alias(node);
    }
    const model = {
      irVersion: IR_VERSION,
      producerName: 'tuneyard',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: 'com.microsoft', version: CONTRIB_OPSET },
      ],
      graph: {
        name: this.graph.name,
        node: this.nodes,
        initializer: this.initializers,
        input: this.graph.inputs.map((value) => valueInfo(value.name, value)),
        output: [...this.graph.outputs].map(([name, value]) => valueInfo(name, value)),
      },
    };
    for (const value of this.graph.nodes.flatMap(({ outputs }) => outputs)) {
      if (!this.outputNames.has(value)) this.inner.set(value.name, value);
    }
    return { model, inner: this.inner };
  }

  private name(value: Value): string {
    return this.outputNames.get(value) ?? value.name;
  }

  private constant(value: Value): void {
    const { source } = value;
    if (source.kind === 'constant') {
      this.initializers.push({
        name: value.name,
        dataType: DATA_TYPE[value.dtype],
        dims: [...value.shape],
        rawData: bytesOf(source.data),
      });
    } else if (source.kind === 'external') {
      const { file, offset, length } = source.external;
      this.initializers.push({
        name: value.name,
        dataType: DATA_TYPE[value.dtype],
        dims: [...value.shape],
        dataLocation: TensorProto.DataLocation.EXTERNAL,
        externalData: [
          { key: 'location', value: basename(file) },
          { key: 'offset', value: String(offset) },
          { key: 'length', value: String(length) },
        ],
      });
    }
  }

  private node(node: Node): void {
    const def = this.ops.get(node.op);
    if (!def) throw new GraphError(`there is no op ${node.op}`);
    const emit = this.emitter(node);
    if (def.onnx) {
      def.onnx(node, emit);
      return;
    }
    const outputs = node.outputs.map((_, i) => emit.output(i));
    emit.node(
      def.name,
      node.inputs.map((_, i) => emit.optional(i)),
      outputs,
      node.attributes,
      def.domain ?? '',
    );
  }

  private emitter(node: Node): OnnxEmitter {
    let count = 0;
    const optional = (index: number) => {
      const value = node.inputs[index];
      return value ? this.name(value) : '';
    };
    return {
      optional,
      input: (index) => {
        const name = optional(index);
        if (!name) throw new GraphError(`${node.op} at ${node.place} has no input ${index}`);
        return name;
      },
      output: (index) => this.name(node.outputs[index]!),
      temporary: (type) => {
        const name = `t_${this.temporaries++}`;
        if (type) this.inner.set(name, type);
        return name;
      },
      ints: (values) =>
        this.sharedConstant(`ints:${values.join(',')}`, 'int64', [values.length], BigInt64Array.from(values, BigInt)),
      uint64: (value) => this.sharedConstant(`uint64:${value}`, 'uint64', [], BigUint64Array.of(value)),
      scalar: (value, dtype) => this.sharedConstant(`${dtype}:${value}`, dtype, [], filled(dtype, 1, value)),
      node: (op, inputs, outputs, attributes = {}, domain = '') => {
        this.nodes.push({
          opType: op,
          domain,
          name: `${op}_${node.id}${count++ ? `_${count}` : ''}`,
          docString: node.place,
          input: [...inputs],
          output: [...outputs],
          attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
        });
      },
    };
  }

  private sharedConstant(key: string, dtype: DType, shape: number[], data: ConstantData): string {
    let name = this.shared.get(key);
    if (!name) {
      name = `shared_${this.shared.size}`;
      this.shared.set(key, name);
      this.initializers.push({ name, dataType: DATA_TYPE[dtype], dims: shape, rawData: bytesOf(data) });
    }
    return name;
  }
}

function attribute(name: string, value: Attribute): onnx.IAttributeProto {
  const { AttributeType } = AttributeProto;
  if (TYPE_ATTRIBUTES.has(name)) return { name, type: AttributeType.INT, i: DATA_TYPE[value as DType] };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === 'boolean') return { name, type: AttributeType.INT, i: value ? 1 : 0 };
  if (typeof value === 'number') {
    return FLOAT_ATTRIBUTES.has(name)
      ? { name, type: AttributeType.FLOAT, f: value }
      : { name, type: AttributeType.INT, i: value };
  }
  return { name, type: AttributeType.INTS, ints: [...value] };
}

/** ONNX tells floats from ints by type, JavaScript does not: these attributes are floats. */
const FLOAT_ATTRIBUTES = new Set(['alpha', 'beta', 'epsilon', 'gamma', 'scale', 'ratio']);

function valueInfo(name: string, type: TensorType): onnx.IValueInfoProto {
  return {
    name,
    type: {
      tensorType: { elemType: DATA_TYPE[type.dtype], shape: { dim: type.shape.map((size) => ({ dimValue: size })) } },
    },
  };
}

function bytesOf(data: ConstantData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
