/**
 * The engine over ONNX Runtime's C API ({@link OrtApi}). Tensors are bound once and stay where they are; a run is on a
 * thread of its own and leaves the event loop free; all graphs share one pool of threads.
 */
import { TuneyardError } from '@protocol/errors';
import type { Graph, TensorType } from '../graph/ir';
import { type MemoryPlan, planMemory } from '../graph/memoryPlan';
import { buildModel, DATA_TYPE, encodeModel } from '../graph/onnx';
import { optimize } from '../graph/passes/index';
import type { OpRegistry } from '../ops/op';
import {
  type Engine,
  type EngineOptions,
  type Executable,
  requireView,
  type TensorView,
  type TensorViews,
} from './engine';
import { engineError } from './engineError';
import { type Handle, OrtApi } from './ortApi';
import { Workspace } from './workspace';

const LOG_ERRORS = 3;
const OPTIMIZE_NOTHING = 0;
/** OrtDeviceAllocator, OrtMemTypeDefault. */
const DEVICE_ALLOCATOR = 0;
const MEMORY_DEFAULT = 0;

/** The library, and what there is once in a process. */
interface Runtime {
  readonly api: OrtApi;
  readonly env: Handle;
  /** Of memory that JavaScript sees. */
  readonly host: Handle;
}

let runtime: Runtime | undefined;

/** @throws Error where the library cannot be used; the message says why */
function openRuntime(): Runtime {
  if (runtime) return runtime;
  const api = new OrtApi();
  const threading = api.create('CreateThreadingOptions');
  // Masked attention leaves probabilities of 1e-45, and arithmetic on denormals is a hundred times slower.
  api.call('SetGlobalDenormalAsZero', threading);
  const env = api.create('CreateEnvWithGlobalThreadPools', LOG_ERRORS, 'tuneyard', threading);
  api.release('ThreadingOptions', threading);
  const host = api.create('CreateMemoryInfo', 'Cpu', DEVICE_ALLOCATOR, 0, MEMORY_DEFAULT);
  runtime = { api, env, host };
  return runtime;
}

export class NativeEngine implements Engine {
  readonly label: string;
  readonly runtime: string;
  readonly #runtime: Runtime;
  /** Values in between, of every graph: one runs at a time. */
  readonly #workspace = new Workspace();

  /** @throws Error where the library cannot be used; the message says why */
  constructor(
    private readonly ops: OpRegistry,
    private readonly options: EngineOptions = {},
  ) {
    this.label = options.label ?? 'CPU';
    this.#runtime = openRuntime();
    this.runtime = this.#runtime.api.version;
  }

  async compile(graph: Graph): Promise<Executable> {
    const optimized = optimize(graph, this.ops);
    const { device = { provider: 'cpu' } } = this.options;
    const built = buildModel(optimized, this.ops);
    // On a GPU what is in between stays there.
    const plan: MemoryPlan = device.provider === 'cpu' ? planMemory(built) : { values: [], bytes: 0 };
    const further = plan.values.map(({ name, type }) => [name, type] as const);
    const model = encodeModel(built.model, further);
    this.#workspace.reserve(plan.bytes);
    const { api, env } = this.#runtime;
    try {
      const options = this.#sessionOptions(graph.name);
      const out = new BigUint64Array(1);
      try {
        await api.callAsync('CreateSessionFromArray', env, model, model.byteLength, options, out);
      } finally {
        api.release('SessionOptions', options);
      }
      return new NativeExecutable(optimized, this.#runtime, out[0]!, plan, this.#workspace, this.options.profile);
    } catch (error) {
      throw engineError(error, `loading graph ${graph.name}`);
    }
  }

  #sessionOptions(graph: string): Handle {
    const { api } = this.#runtime;
    const { device = { provider: 'cpu' }, threads, profile } = this.options;
    const options = api.create('CreateSessionOptions');
    try {
      // Our own passes have been over it, and the plan holds for the nodes that they left.
      api.call('SetSessionGraphOptimizationLevel', options, OPTIMIZE_NOTHING);
      // Planned memory patterns cost a third more than the arena alone and are no faster here.
      api.call('DisableMemPattern', options);
      if (threads === undefined) api.call('DisablePerSessionThreads', options);
      else {
        api.call('SetIntraOpNumThreads', options, threads);
        api.call('AddSessionConfigEntry', options, 'session.set_denormal_as_zero', '1');
      }
      if (profile !== undefined) api.call('EnableProfiling', options, `${profile}-${graph}`);
      if (device.provider === 'cuda') this.#appendCuda(options, device.deviceId);
      return options;
    } catch (error) {
      api.release('SessionOptions', options);
      throw error;
    }
  }

  #appendCuda(options: Handle, deviceId: number): void {
    const { api } = this.#runtime;
    const cuda = api.create('CreateCUDAProviderOptions');
    try {
      const settings = Object.entries({ device_id: String(deviceId), arena_extend_strategy: 'kSameAsRequested' });
      const [keys, values] = [settings.map(([key]) => key), settings.map(([, value]) => value)];
      api.call('UpdateCUDAProviderOptions', cuda, api.strings(keys), api.strings(values), settings.length);
      api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', options, cuda);
    } finally {
      api.release('CUDAProviderOptions', cuda);
    }
  }
}

class NativeExecutable implements Executable {
  readonly #runtime: Runtime;
  readonly #session: Handle;
  readonly #binding: Handle;
  readonly #options: Handle;
  /** What is bound to which name. It also keeps the memory alive. */
  readonly #bound = new Map<string, TensorView>();
  #planned: { generation: number; memory: unknown } | undefined;

  constructor(
    readonly graph: Graph,
    runtime: Runtime,
    session: Handle,
    private readonly plan: MemoryPlan,
    private readonly workspace: Workspace,
    private readonly profile: string | undefined,
  ) {
    this.#runtime = runtime;
    this.#session = session;
    this.#binding = runtime.api.create('CreateIoBinding', session);
    this.#options = runtime.api.create('CreateRunOptions');
  }

  async run(inputs: TensorViews, outputs: TensorViews, signal?: AbortSignal): Promise<void> {
    for (const value of this.graph.inputs) this.#bind('BindInput', value.name, value, inputs[value.name]);
    for (const [name, value] of this.graph.outputs) this.#bind('BindOutput', name, value, outputs[name]);
    this.#bindPlanned();
    const { api } = this.#runtime;
    const terminate = () => api.call('RunOptionsSetTerminate', this.#options);
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    signal?.addEventListener('abort', terminate, { once: true });
    try {
      await api.run(this.#session, this.#options, this.#binding);
    } catch (error) {
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.', { cause: error });
      throw engineError(error, `running graph ${this.graph.name}`);
    } finally {
      signal?.removeEventListener('abort', terminate);
      if (signal?.aborted) api.call('RunOptionsUnsetTerminate', this.#options);
    }
  }

  async release(): Promise<void> {
    const { api } = this.#runtime;
    if (this.profile !== undefined) {
      const allocator = api.create('GetAllocatorWithDefaultOptions');
      api.call('AllocatorFree', allocator, api.create('SessionEndProfiling', this.#session, allocator));
    }
    api.release('IoBinding', this.#binding);
    api.release('RunOptions', this.#options);
    api.release('Session', this.#session);
    this.#bound.clear();
  }

  #bind(how: 'BindInput' | 'BindOutput', name: string, type: TensorType, view: TensorView | undefined): void {
    const key = `${how} ${name}`;
    if (view && this.#bound.get(key) === view) return;
    requireView(this.graph, name, type, view);
    this.#bindMemory(how, name, type, view.data);
    this.#bound.set(key, view);
  }

  /** Values in between lie in the workspace; they are bound anew when that has grown. */
  #bindPlanned(): void {
    const { generation } = this.workspace;
    if (this.#planned?.generation === generation) return;
    const memory = this.plan.values.map(({ name, type, offset }) => {
      const data = this.workspace.slice(offset, type);
      this.#bindMemory('BindOutput', name, type, data);
      return data;
    });
    this.#planned = { generation, memory };
  }

  /** The binding keeps the value, not the memory. */
  #bindMemory(how: 'BindInput' | 'BindOutput', name: string, type: TensorType, data: TensorView['data']): void {
    const { api, host } = this.#runtime;
    const shape = BigInt64Array.from(type.shape, BigInt);
    const value = api.create(
      'CreateTensorWithDataAsOrtValue',
      host,
      data,
      data.byteLength,
      shape,
      shape.length,
      DATA_TYPE[type.dtype],
    );
    try {
      api.call(how, this.#binding, name, value);
    } finally {
      api.release('Value', value);
    }
  }
}
