/** What runs graphs: `native.ts` through ONNX Runtime's C API, `node.ts` through onnxruntime-node's own. */
import { TuneyardError } from '@protocol/errors';
import { formatShape, type Graph, type Shape, sameShape, type TensorType } from '../graph/ir';
import type { Fusion } from '../graph/passes/index';
import type { DeviceMemory } from './deviceMemory';

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
   * where the graph reads it only element by element. One run at a time.
   *
   * @param signal ends the run where the engine can: outputs are void then
   * @throws TuneyardError `engine_failed`, `out_of_memory`; `cancelled`
   */
  run(inputs: TensorViews, outputs: TensorViews, signal?: AbortSignal): Promise<void>;
  release(): Promise<void>;
}

export interface Engine {
  /** "CPU", "CUDA:0 (NVIDIA L4)". */
  readonly label: string;
  /** Version of ONNX Runtime: "1.29.0". */
  readonly runtime: string;
  /** Why it is the portable engine, where it is. */
  readonly fallback?: string | undefined;
  /** Where the device has memory of its own that tensors can stay in between runs. */
  readonly memory?: DeviceMemory | undefined;
  /** Why there is no {@link memory} on a device that has some: each tensor then crosses the bus at every run. */
  readonly memoryObstacle?: string | undefined;
  /** Why graphs are not recorded where that was asked for. */
  readonly recordingObstacle?: string | undefined;
  /** Whether its kernel for attention is right, and worth it. */
  readonly fusesAttention?: boolean;
  /** Optimises, serialises and loads a graph. */
  compile(graph: Graph): Promise<Executable>;
}

/** @throws TuneyardError `internal` where a graph's input or output got no view, or one of another shape */
export function requireView(
  graph: Graph,
  name: string,
  { shape }: TensorType,
  view: TensorView | undefined,
): asserts view is TensorView {
  if (!view) throw new TuneyardError('internal', `graph ${graph.name} was run without ${name}.`);
  if (!sameShape(view.shape, shape)) {
    throw new TuneyardError(
      'internal',
      `graph ${graph.name} wants ${name} as ${formatShape(shape)}, got ${formatShape(view.shape)}.`,
    );
  }
}

export interface EngineOptions {
  /** 'cpu', or a CUDA device by number. */
  device?: { provider: 'cpu' } | { provider: 'cuda'; deviceId: number };
  label?: string;
  /** Threads inside an op; default: as many as there are cores. */
  threads?: number;
  /** On a GPU: products of float32 round their operands to 10 bits (TensorFloat-32), which is several times faster. */
  tf32?: boolean;
  /**
   * Ops on 16-bit numbers that the device is asked for before float32 does them: `all`, unless it says that it lacks one,
   * or those that `move` numbers about. Default: all on a GPU.
   */
  lowKernels?: 'all' | 'move';
  /** Whether attention is left to one kernel; default: on a GPU, where it was tried and gave what it should. */
  fuseAttention?: boolean;
  /** Where tensors stay on the device: record what a graph launches there, and launch it as one from the third run on. */
  record?: boolean;
  /** On the CPU: tensors may stay in memory that JavaScript does not see, as they do on a GPU. For tests. */
  memoryApart?: boolean;
  /** A pass that is left out, to measure what it brings. */
  without?: Fusion;
  /** Write a profile (chrome://tracing) with this prefix when an executable is released. */
  profile?: string;
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
