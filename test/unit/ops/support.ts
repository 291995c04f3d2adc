/** Runs graphs and examples of ops on ONNX Runtime. */
import type { Random } from '@runner/data/random';
import type { Builder } from '@runner/graph/builder';
import { type ConstantData, type DType, elementCount, type Node, type Value } from '@runner/graph/ir';
import { serializeModel } from '@runner/graph/onnx';
import { newBuilder, ops } from '@runner/ops';
import type { Example, OpDef, TensorExample } from '@runner/ops/op';
import { InferenceSession, Tensor } from 'onnxruntime-node';

export type Data = Float32Array | Float64Array | BigInt64Array | BigUint64Array | Int32Array | Uint32Array | Uint8Array;

/** `numbers` as the typed array that holds tensors of `dtype`. */
export function typed(dtype: DType, numbers: readonly number[]): Data {
  switch (dtype) {
    case 'float32':
      return Float32Array.from(numbers);
    case 'float64':
      return Float64Array.from(numbers);
    case 'int64':
      return BigInt64Array.from(numbers, BigInt);
    case 'uint64':
      return BigUint64Array.from(numbers, BigInt);
    case 'int32':
      return Int32Array.from(numbers);
    case 'uint32':
      return Uint32Array.from(numbers);
    case 'uint8':
    case 'bool':
      return Uint8Array.from(numbers);
    default:
      throw new Error(`no test data of type ${dtype}`);
  }
}

export function uniform(random: Random, length: number, [low, high]: readonly [number, number]): number[] {
  return Array.from({ length }, () => Math.fround(low + (high - low) * random.nextFloat()));
}

function exampleData(input: TensorExample, random: Random): Data {
  const dtype = input.dtype ?? 'float32';
  const count = elementCount(input.shape);
  if (input.data) return typed(dtype, input.data);
  const { below } = input;
  if (below !== undefined) {
    return typed(
      dtype,
      Array.from({ length: count }, () => random.nextInt(below)),
    );
  }
  return typed(dtype, uniform(random, count, input.range ?? [-1, 1]));
}

/** A graph of one node with the example's inputs, and the data to feed it. */
export interface ExampleGraph {
  readonly builder: Builder;
  readonly node: Node;
  readonly inputs: readonly (Value | null)[];
  readonly data: readonly (Data | null)[];
}

export function exampleGraph(op: OpDef, example: Example, random: Random): ExampleGraph {
  const builder = newBuilder(op.name);
  const data = example.inputs.map((input) => input && exampleData(input, random));
  const inputs = example.inputs.map((input, i) => {
    if (!input) return null;
    const dtype = input.dtype ?? 'float32';
    if (input.constant) return builder.constant(data[i]!, dtype, input.shape);
    return builder.input(`x${i}`, dtype, input.shape);
  });
  return { builder, node: builder.node(op.name, inputs, example.attributes), inputs, data };
}

export interface Result {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: ConstantData;
}

/** A loaded graph. */
export class Runner {
  private constructor(
    private readonly session: InferenceSession,
    private readonly builder: Builder,
  ) {}

  static async load(builder: Builder, threads = 1): Promise<Runner> {
    const session = await InferenceSession.create(serializeModel(builder.graph, ops), {
      intraOpNumThreads: threads,
      logSeverityLevel: 3,
    });
    return new Runner(session, builder);
  }

  /** Results by name; `fetches` are all outputs unless given. */
  async run(feeds: Readonly<Record<string, Data>>, fetches?: readonly string[]): Promise<Record<string, Result>> {
    const tensors: Record<string, Tensor> = {};
    for (const { name, dtype, shape } of this.builder.graph.inputs) {
      tensors[name] = new Tensor(dtype as 'float32', feeds[name] as Float32Array, shape);
    }
    const names = fetches ?? [...this.builder.graph.outputs.keys()];
    const results = await this.session.run(tensors, [...names]);
    return Object.fromEntries(
      names.map((name) => {
        const tensor = results[name]!;
        return [name, { shape: tensor.dims, dtype: tensor.type, data: tensor.data as ConstantData }];
      }),
    );
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/** Builds, runs once and lets go. */
export async function evaluate(
  builder: Builder,
  feeds: Readonly<Record<string, Data>> = {},
): Promise<Record<string, Result>> {
  const runner = await Runner.load(builder);
  try {
    return await runner.run(feeds);
  } finally {
    await runner.release();
  }
}

/** The numbers of a result, exact to 53 bits. */
export function numbers({ data }: { readonly data: ConstantData }): number[] {
  return Array.from(data as ArrayLike<number | bigint>, Number);
}
