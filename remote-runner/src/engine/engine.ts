/** What runs graphs. `node.ts` is onnxruntime-node's own API; others may keep tensors on a device. */
import type { Graph, Shape, TensorType } from '../graph/ir';

export type TensorData =
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/**
 * A tensor over memory that somebody else owns: a view into an arena, or a batch. The engine reads and writes that
 * memory in place. Keep a view and use it again: the engine remembers what it made of it.
 */
export interface TensorView extends TensorType {
  readonly data: TensorData;
}

export type TensorViews = Readonly<Record<string, TensorView>>;

export interface Executable {
  readonly graph: Graph;
  /**
   * Runs the graph once. Every output lands in the view given for it; one view may be both an input and an output
   * where the graph reads it only element by element.
   *
   * @throws TuneyardError `engine_failed`, `out_of_memory`
   */
  run(inputs: TensorViews, outputs: TensorViews): Promise<void>;
  release(): Promise<void>;
}

export interface Engine {
  /** "CPU", "CUDA:0 (NVIDIA L4)". */
  readonly label: string;
  /** Optimises, serialises and loads a graph. */
  compile(graph: Graph): Promise<Executable>;
}

export function view(data: TensorData, shape: Shape): TensorView {
  return { data, shape, dtype: dtypeOf(data) };
}

function dtypeOf(data: TensorData): TensorType['dtype'] {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof BigUint64Array) return 'uint64';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Uint32Array) return 'uint32';
  if (data instanceof Uint16Array) return 'float16';
  return 'uint8';
}
