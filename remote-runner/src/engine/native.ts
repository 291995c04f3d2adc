/**
 * The engine over ONNX Runtime's C API ({@link OrtApi}). Tensors are bound once and stay where they are; a run is on a
 * thread of its own and leaves the event loop free; all graphs share one pool of threads.
 */
import { TuneyardError } from '@protocol/errors';
import { Builder } from '../graph/builder';
import { Graph, type Node, type TensorType } from '../graph/ir';
import { isLow } from '../graph/lowPrecision';
import { type MemoryPlan, planMemory } from '../graph/memoryPlan';
import { buildModel, DATA_TYPE, encodeModel } from '../graph/onnx';
import { optimize } from '../graph/passes/index';
import type { OpRegistry } from '../ops/op';
import { apartMemory, cudaMemory, DeviceMemory } from './deviceMemory';
import {
  type Engine,
  type EngineOptions,
  type Executable,
  requireView,
  type TensorData,
  type TensorView,
  type TensorViews,
  view,
} from './engine';
import { engineError } from './engineError';
import { loadKoffi } from './loadKoffi';
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
  /** Runs that have not ended. */
  #running = 0;
  #memory: DeviceMemory | undefined;
  #memoryObstacle: string | undefined;
  #recordingObstacle: string | undefined;
  /** Whether what is loaded from now on is recorded. */
  #records = false;
  #fusesAttention = false;
  /** Of the device's memory, for ONNX Runtime. */
  #deviceInfo: Handle | undefined;
  /** Ops that the device has said not to know for 16-bit numbers. */
  readonly #withoutLowKernel = new Set<string>();

  /** @throws Error where the library cannot be used; the message says why */
  constructor(
    private readonly ops: OpRegistry,
    private readonly options: EngineOptions = {},
  ) {
    this.label = options.label ?? 'CPU';
    this.#runtime = openRuntime();
    this.runtime = this.#runtime.api.version;
  }

  get memory(): DeviceMemory | undefined {
    return this.#memory;
  }

  get memoryObstacle(): string | undefined {
    return this.#memoryObstacle;
  }

  get fusesAttention(): boolean {
    return this.#fusesAttention;
  }

  get recordingObstacle(): string | undefined {
    return this.#recordingObstacle;
  }

  /** Opens the device's memory, which must have been used before: see {@link cudaMemory}. */
  async openMemory(): Promise<void> {
    const { device = { provider: 'cpu' }, memoryApart } = this.options;
    if (device.provider === 'cpu' && !memoryApart) return;
    try {
      const koffi = loadKoffi();
      if (device.provider === 'cuda') await this.#wake();
      const raw = device.provider === 'cuda' ? cudaMemory(koffi, device.deviceId) : apartMemory(koffi);
      const { api } = this.#runtime;
      this.#deviceInfo = api.create('CreateMemoryInfo', raw.name, DEVICE_ALLOCATOR, raw.deviceId, MEMORY_DEFAULT);
      this.#memory = new DeviceMemory(raw);
      await this.#tryMemory(this.#memory);
    } catch (error) {
      this.#memory = undefined;
      this.#memoryObstacle = firstLine(error);
    }
    if (this.options.record && this.#memory) await this.#tryRecording();
  }

  /** Runs that were recorded must read what they are given then, not what they were given when they were. */
  async #tryRecording(): Promise<void> {
    this.#records = true;
    try {
      const g = new Builder(this.ops, 'recording-test');
      g.output('y', g.mul(g.input('x', 'float32', [4]), g.input('by', 'float32', [])));
      const executable = await this.compile(g.graph);
      const x = view(Float32Array.of(1, 2, 3, 4), [4]);
      const y = view(new Float32Array(4), [4]);
      const results: number[] = [];
      for (const by of [2, 3, 5, 7]) {
        await executable.run({ x, by: view(Float32Array.of(by), []) }, { y });
        results.push((y.data as Float32Array)[3]!);
      }
      await executable.release();
      if (results.join() !== '8,12,20,28') throw new Error('what is recorded gives other results');
    } catch (error) {
      this.#records = false;
      this.#recordingObstacle = firstLine(error);
    }
  }

  /** Tries the kernel for attention, where it is wanted: of two tokens the second sees both. */
  async tryAttention(): Promise<void> {
    const { device = { provider: 'cpu' }, fuseAttention = device.provider === 'cuda' } = this.options;
    if (!fuseAttention) return;
    const shape = [1, 2, 8];
    const tensor = (first: number, second: number) =>
      view(
        Float32Array.from({ length: 16 }, (_, i) => (i < 8 ? first : second)),
        shape,
      );
    try {
      const g = new Builder(this.ops, 'attention-test');
      const parts = ['q', 'k', 'v'].map((name) => g.input(name, 'float32', shape));
      g.output('y', g.apply('MultiHeadAttention', parts, { num_heads: 1, unidirectional: 1, scale: 1 }));
      const executable = await this.compile(g.graph);
      const y = tensor(0, 0);
      await executable.run({ q: tensor(1 / 8, 1 / 8), k: tensor(0, 1), v: tensor(1, 3) }, { y });
      await executable.release();
      const found = y.data as Float32Array;
      const second = (1 + 3 * Math.E) / (1 + Math.E);
      this.#fusesAttention = found.every((value, i) => Math.abs(value - (i < 8 ? 1 : second)) < 1e-2);
    } catch {
      // What is written out does it as well.
    }
  }

  /** Loads what the device needs, by computing something. */
  async #wake(): Promise<void> {
    const g = new Builder(this.ops, 'wake');
    g.output('y', g.neg(g.input('x', 'float32', [1])));
    const executable = await this.compile(g.graph);
    await executable.run({ x: view(Float32Array.of(1), [1]) }, { y: view(new Float32Array(1), [1]) });
    await executable.release();
  }

  /** Three steps in place: what is on the device is read, written and kept there. @throws Error where it is not */
  async #tryMemory(memory: DeviceMemory): Promise<void> {
    const g = new Builder(this.ops, 'memory-test');
    g.output('y', g.mul(g.input('x', 'float32', [4]), g.input('by', 'float32', [])));
    const executable = await this.compile(g.graph);
    const data = Float32Array.of(1, 2, 3, 4);
    await memory.adopt(data);
    const x = view(data, [4]);
    for (const by of [2, 3, 5]) await executable.run({ x, by: view(Float32Array.of(by), []) }, { y: x });
    const before = data.join();
    await memory.download(data);
    memory.release(data);
    await executable.release();
    if (before !== '1,2,3,4' || data.join() !== '30,60,90,120')
      throw new Error('its memory does not keep what it is given');
  }

  async compile(graph: Graph): Promise<Executable> {
    const { device = { provider: 'cpu' }, lowKernels = device.provider === 'cpu' ? 'move' : 'all' } = this.options;
    const { without } = this.options;
    if (lowKernels === 'move') return this.#load(optimize(graph, this.ops, { without }));
    const hasLowKernel = (op: string) => !this.#withoutLowKernel.has(op);
    const optimized = () => optimize(graph, this.ops, { hasLowKernel, without });
    try {
      return await this.#load(optimized());
    } catch (error) {
      const isMemory = error instanceof TuneyardError && error.code === 'out_of_memory';
      if (isMemory || !(await this.#findMissingKernels(optimized()))) throw error;
      return this.#load(optimized());
    }
  }

  /**
   * Tries each op of 16-bit numbers by itself: ONNX Runtime names the node that it has no kernel for, but not where that
   * is a part of an op made of others. @returns whether some are missing that were not known to be
   */
  async #findMissingKernels(graph: Graph): Promise<boolean> {
    const before = this.#withoutLowKernel.size;
    const isLowNode = ({ inputs, outputs }: Node) =>
      [...inputs, ...outputs].some((value) => value && isLow(value.dtype));
    const one = new Map(graph.nodes.filter(isLowNode).map((node) => [node.op, node]));
    for (const [op, node] of one) {
      const alone = new Graph(`kernel of ${op}`);
      const inputs = node.inputs.map((input, i) => input && alone.addInput(`x${i}`, input));
      const { outputs } = alone.addNode(op, inputs, node.attributes, node.outputs, '');
      for (const [i, output] of outputs.entries()) alone.setOutput(`y${i}`, output);
      try {
        await (await this.#load(alone)).release();
      } catch {
        this.#withoutLowKernel.add(op);
      }
    }
    return this.#withoutLowKernel.size > before;
  }

  async #load(optimized: Graph): Promise<Executable> {
    const { device = { provider: 'cpu' } } = this.options;
    const built = buildModel(optimized, this.ops);
    // On a GPU what is in between stays there.
    const plan: MemoryPlan = device.provider === 'cpu' ? planMemory(built) : { values: [], bytes: 0 };
    const further = plan.values.map(({ name, type }) => [name, type] as const);
    const model = encodeModel(built.model, further);
    this.#workspace.reserve(plan.bytes, this.#running === 0);
    const { api, env } = this.#runtime;
    const create = async (isRecorded: boolean): Promise<Handle> => {
      const options = this.#sessionOptions(optimized.name, isRecorded);
      const out = new BigUint64Array(1);
      try {
        await api.callAsync('CreateSessionFromArray', env, model, model.byteLength, options, out);
      } finally {
        api.release('SessionOptions', options);
      }
      return out[0]!;
    };
    try {
      let staging = this.#records ? this.#memory : undefined;
      const session = await create(staging !== undefined).catch((error) => {
        // Part of this graph is computed on the host.
        if (!staging) throw error;
        staging = undefined;
        return create(false);
      });
      return new NativeExecutable(optimized, this.#runtime, session, {
        plan,
        staging,
        workspace: this.#workspace,
        profile: this.options.profile,
        // ONNX Runtime copies an input to the device when it is bound, not when it is run.
        bindsAnew: device.provider !== 'cpu',
        onRunning: (change) => {
          this.#running += change;
        },
        onDevice: (data) => {
          const address = this.#memory?.addressOf(data);
          return address === undefined ? undefined : { address, info: this.#deviceInfo! };
        },
      });
    } catch (error) {
      throw engineError(error, `loading graph ${optimized.name}`);
    }
  }

  #sessionOptions(graph: string, isRecorded: boolean): Handle {
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
      if (device.provider === 'cuda') this.#appendCuda(options, device.deviceId, isRecorded);
      return options;
    } catch (error) {
      api.release('SessionOptions', options);
      throw error;
    }
  }

  #appendCuda(options: Handle, deviceId: number, isRecorded: boolean): void {
    const { api } = this.#runtime;
    const cuda = api.create('CreateCUDAProviderOptions');
    try {
      const settings = Object.entries({
        device_id: String(deviceId),
        arena_extend_strategy: 'kSameAsRequested',
        use_tf32: this.options.tf32 ? '1' : '0',
        enable_cuda_graph: isRecorded ? '1' : '0',
      });
      const [keys, values] = [settings.map(([key]) => key), settings.map(([, value]) => value)];
      api.call('UpdateCUDAProviderOptions', cuda, api.strings(keys), api.strings(values), settings.length);
      api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', options, cuda);
    } finally {
      api.release('CUDAProviderOptions', cuda);
    }
  }
}

/** Numbers of recordings in this process; ONNX Runtime keeps 0 for itself. */
let recordings = 0;

const firstLine = (error: unknown) => (error instanceof Error ? error.message.split('\n')[0]! : String(error));

interface ExecutableOptions {
  readonly plan: MemoryPlan;
  readonly workspace: Workspace;
  readonly profile: string | undefined;
  /** Runs are recorded, with every tensor at its place in this memory: what is on the host has a place for each name. */
  readonly staging: DeviceMemory | undefined;
  /** Host inputs are bound at every run, whether they are the same arrays or not. */
  readonly bindsAnew: boolean;
  /** Told when a run begins (1) and when it has ended (−1). */
  onRunning(change: 1 | -1): void;
  /** Where an array lies on the device, if it does. */
  onDevice(data: TensorData): { address: bigint; info: Handle } | undefined;
}

class NativeExecutable implements Executable {
  readonly #runtime: Runtime;
  readonly #session: Handle;
  readonly #binding: Handle;
  readonly #options: Handle;
  /** What is bound to which name. It also keeps the memory alive. */
  readonly #bound = new Map<string, { view: TensorView; address: bigint | undefined }>();
  /** What this run alone is fed. */
  #fed: TensorView[] = [];
  #planned: { generation: number; memory: unknown } | undefined;
  /** Where what is on the host lies on the device, by what it is bound as; where runs are recorded. */
  readonly #places = new Map<string, Uint8Array>();

  constructor(
    readonly graph: Graph,
    runtime: Runtime,
    session: Handle,
    private readonly options: ExecutableOptions,
  ) {
    this.#runtime = runtime;
    this.#session = session;
    this.#binding = runtime.api.create('CreateIoBinding', session);
    this.#options = runtime.api.create('CreateRunOptions');
  }

  async run(inputs: TensorViews, outputs: TensorViews, signal?: AbortSignal): Promise<void> {
    this.#fed = [];
    for (const value of this.graph.inputs) this.#bind('BindInput', value.name, value, inputs[value.name]);
    for (const [name, value] of this.graph.outputs) this.#bind('BindOutput', name, value, outputs[name]);
    this.#bindPlanned();
    const { api } = this.#runtime;
    await this.#stage('BindInput', inputs);
    const terminate = () => api.call('RunOptionsSetTerminate', this.#options);
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    signal?.addEventListener('abort', terminate, { once: true });
    this.options.onRunning(1);
    try {
      await api.run(this.#session, this.#options, this.#binding);
      await this.#stage('BindOutput', outputs);
    } catch (error) {
      if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.', { cause: error });
      throw engineError(error, `running graph ${this.graph.name}`);
    } finally {
      this.options.onRunning(-1);
      signal?.removeEventListener('abort', terminate);
      if (signal?.aborted) api.call('RunOptionsUnsetTerminate', this.#options);
    }
  }

  async release(): Promise<void> {
    const { api } = this.#runtime;
    if (this.options.profile !== undefined) {
      const allocator = api.create('GetAllocatorWithDefaultOptions');
      api.call('AllocatorFree', allocator, api.create('SessionEndProfiling', this.#session, allocator));
    }
    api.release('IoBinding', this.#binding);
    api.release('RunOptions', this.#options);
    api.release('Session', this.#session);
    this.#bound.clear();
    for (const place of this.#places.values()) this.options.staging?.release(place);
    this.#places.clear();
  }

  /** Inputs to their places on the device, before a run; outputs from theirs, after it. */
  async #stage(how: 'BindInput' | 'BindOutput', views: TensorViews): Promise<void> {
    const { staging } = this.options;
    if (!staging) return;
    const names = how === 'BindInput' ? this.graph.inputs.map(({ name }) => name) : [...this.graph.outputs.keys()];
    for (const name of names) {
      const place = this.#places.get(`${how} ${name}`);
      const address = place && staging.addressOf(place);
      const { data } = views[name]!;
      if (address === undefined || staging.addressOf(data) !== undefined) continue;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      await (how === 'BindInput' ? staging.raw.copyIn(address, bytes) : staging.raw.copyOut(bytes, address));
    }
  }

  /** The place on the device of what is bound as `key`, and on the host. */
  #placeOf(key: string, { byteLength }: TensorData): Uint8Array {
    let place = this.#places.get(key);
    if (!place) {
      // Its address alone: the system gives it no memory.
      place = new Uint8Array(byteLength);
      this.options.staging!.reserve(place);
      this.#places.set(key, place);
    }
    return place;
  }

  #bind(how: 'BindInput' | 'BindOutput', name: string, type: TensorType, view: TensorView | undefined): void {
    const key = `${how} ${name}`;
    const { staging, onDevice } = this.options;
    // What lies on the device may have moved since.
    const known = this.#bound.get(key);
    if (view && known?.view === view && known.address === onDevice(view.data)?.address) return;
    requireView(this.graph, name, type, view);
    const isStaged = staging !== undefined && onDevice(view.data) === undefined;
    const data = isStaged ? this.#placeOf(key, view.data) : view.data;
    if (staging && known && known.address === onDevice(data)?.address) return;
    const address = this.#bindMemory(how, name, type, data);
    if (staging) this.#recordAnew();
    if (address !== undefined || how === 'BindOutput' || !this.options.bindsAnew)
      this.#bound.set(key, { view, address });
    else this.#fed.push(view);
  }

  /** A recording holds for the addresses that it was made with. */
  #recordAnew(): void {
    recordings += 1;
    this.#runtime.api.call('AddRunConfigEntry', this.#options, 'gpu_graph_id', String(recordings));
  }

  /** Values in between lie in the workspace; they are bound anew when that has grown. */
  #bindPlanned(): void {
    const { plan, workspace } = this.options;
    const { generation } = workspace;
    if (this.#planned?.generation === generation) return;
    const memory = plan.values.map(({ name, type, offset }) => {
      const data = workspace.slice(offset, type);
      this.#bindMemory('BindOutput', name, type, data);
      return data;
    });
    this.#planned = { generation, memory };
  }

  /** The binding keeps the value, not the memory. @returns where on the device it lies, if there */
  #bindMemory(how: 'BindInput' | 'BindOutput', name: string, type: TensorType, data: TensorData): bigint | undefined {
    const { api, host } = this.#runtime;
    const device = this.options.onDevice(data);
    const shape = BigInt64Array.from(type.shape, BigInt);
    const value = api.create(
      'CreateTensorWithDataAsOrtValue',
      device?.info ?? host,
      device?.address ?? data,
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
    return device?.address;
  }
}
