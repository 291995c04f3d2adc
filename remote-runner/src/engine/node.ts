/**
 * The portable engine: onnxruntime-node's own API. Feeds and fetches are typed arrays that ONNX Runtime reads and
 * writes in place; with CUDA each of them crosses the bus at every run.
 */
import { TuneyardError } from '@protocol/errors';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { Graph, Value } from '../graph/ir';
import { type MemoryPlan, planMemory } from '../graph/memoryPlan';
import { buildModel, encodeModel } from '../graph/onnx';
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
import { isWithoutResults, WITHOUT_RESULTS, withoutResults } from './withoutResults';
import { Workspace } from './workspace';

export class NodeEngine implements Engine {
  readonly label: string;
  readonly runtime = env.versions.node ?? env.versions.common;
  readonly fallback: string | undefined;
  private readonly tensors = new WeakMap<TensorView, Tensor>();
  /** Values in between, of every graph: one runs at a time. */
  private readonly workspace = new Workspace();

  constructor(
    private readonly ops: OpRegistry,
    private readonly options: EngineOptions & { fallback?: string } = {},
  ) {
    env.logLevel = 'error';
    this.label = options.label ?? 'CPU';
    this.fallback = options.fallback;
  }

  async compile(graph: Graph): Promise<Executable> {
    const optimized = optimize(graph, this.ops);
    const { device = { provider: 'cpu' }, threads, profile } = this.options;
    const built = buildModel(optimized, this.ops);
    // On a GPU what is in between stays there.
    const plan: MemoryPlan = device.provider === 'cpu' ? planMemory(built) : { values: [], bytes: 0 };
    const further = plan.values.map(({ name, type }) => [name, type] as const);
    const model = withoutResults(encodeModel(built.model, further));
    this.workspace.reserve(plan.bytes);
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(model, {
        executionProviders: device.provider === 'cuda' ? [{ name: 'cuda', deviceId: device.deviceId }, 'cpu'] : ['cpu'],
        // Our own passes have been over it, and the plan holds for the nodes that they left.
        graphOptimizationLevel: 'disabled',
        // Planned memory patterns cost a third more than the arena alone and are no faster here.
        enableMemPattern: false,
        logSeverityLevel: 3,
        // Masked attention leaves probabilities of 1e-45, and arithmetic on denormals is a hundred times slower.
        extra: { session: { set_denormal_as_zero: '1' } },
        ...(threads ? { intraOpNumThreads: threads } : {}),
        ...(profile ? { enableProfiling: true, profileFilePrefix: `${profile}-${graph.name}` } : {}),
      });
    } catch (error) {
      throw engineError(error, `loading graph ${graph.name}`);
    }
    return new NodeExecutable(optimized, session, this.tensors, plan, this.workspace, profile !== undefined);
  }
}

class NodeExecutable implements Executable {
  private inner: { generation: number; fetches: Record<string, Tensor> } | undefined;

  constructor(
    readonly graph: Graph,
    private readonly session: InferenceSession,
    private readonly tensors: WeakMap<TensorView, Tensor>,
    private readonly plan: MemoryPlan,
    private readonly workspace: Workspace,
    private readonly profiling: boolean,
  ) {}

  async run(inputs: TensorViews, outputs: TensorViews, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw new TuneyardError('cancelled', 'cancelled.');
    const feeds: Record<string, Tensor> = {};
    for (const value of this.graph.inputs) feeds[value.name] = this.tensor(value.name, value, inputs[value.name]);
    const fetches: Record<string, Tensor | null> = { ...WITHOUT_RESULTS, ...this.planned() };
    for (const [name, value] of this.graph.outputs) fetches[name] = this.tensor(name, value, outputs[name]);
    try {
      await this.session.run(feeds, fetches);
    } catch (error) {
      if (isWithoutResults(error)) return;
      throw engineError(error, `running graph ${this.graph.name}`);
    }
  }

  async release(): Promise<void> {
    if (this.profiling) this.session.endProfiling();
    await this.session.release();
  }

  /** Tensors over the pieces of the workspace; made again when that has grown. */
  private planned(): Readonly<Record<string, Tensor>> {
    const { generation } = this.workspace;
    if (this.inner?.generation !== generation) {
      const tensors = this.plan.values.map(({ name, type, offset }) => {
        const data = this.workspace.slice(offset, type) as Float32Array;
        return [name, new Tensor(type.dtype as 'float32', data, [...type.shape])] as const;
      });
      this.inner = { generation, fetches: Object.fromEntries(tensors) };
    }
    return this.inner.fetches;
  }

  private tensor(name: string, value: Value, view: TensorView | undefined): Tensor {
    const known = view && this.tensors.get(view);
    if (known) return known;
    requireView(this.graph, name, value, view);
    const made = new Tensor(value.dtype as 'float32', view.data as Float32Array, [...view.shape]);
    this.tensors.set(view, made);
    return made;
  }
}
