/**
 * One batch through the model: forward, loss over chunks of the supervised positions, backward into the gradient
 * arena. Graphs are compiled when a shape first comes and kept.
 */
import type { Batch } from '../data/collate';
import { type Engine, type Executable, type TensorView, type TensorViews, view } from '../engine/engine';
import { layOut, Workspace } from '../engine/workspace';
import type { Builder } from '../graph/builder';
import type { Graph, TensorType } from '../graph/ir';
import type { Precision } from '../graph/lowPrecision';
import {
  buildHeadEvaluation,
  buildHeadTraining,
  chunkSizes,
  HEAD,
  headShape,
  vocabularyBlocks,
} from '../heads/causalLm';
import type { CausalLm } from '../models/causalLm';
import type { Arena, ParameterSet } from './arena';
import {
  type BatchShape,
  BODY,
  buildEvaluation,
  buildTraining,
  type RowSparseOutput,
  type TrainingGraphs,
} from './bodyProgram';
import { type PackedBatch, packBatch } from './packedBatch';
import { createRowMover, type RowMover } from './rowMover';
import type { Use, WeightStream } from './weightStream';

export interface TrainStepOptions {
  readonly engine: Engine;
  readonly newBuilder: (name: string, precision?: Precision) => Builder;
  readonly model: CausalLm;
  readonly parameters: ParameterSet;
  readonly gradients: Arena;
  /** Keep little between forward and backward, and compute the rest again. Default false. */
  readonly checkpointing?: boolean;
  /** Of the backward half, between which gradients that are complete may leave. Default 1. */
  readonly parts?: number;
  /** Brings weights to the device, and gradients from it, a layer at a time. Default: they stay where they are. */
  readonly stream?: WeightStream;
  /** What forward and backward compute in; weights and gradients are float32. Default float32. */
  readonly precision?: Precision;
}

export interface AccumulateOptions {
  /** What each supervised token's loss is multiplied by: 1 / supervised tokens of the whole global batch. */
  readonly weight: number;
  /** The first batch of a step replaces the gradients, later ones add to them. */
  readonly first: boolean;
  /** Seeds this batch's dropout. */
  readonly seed: bigint;
  /** Ends it in the middle: gradients are void then. */
  readonly signal?: AbortSignal | undefined;
  /** Told of parameters before their gradients are written. */
  readonly begins?: (names: readonly string[]) => void;
  /** Told of parameters whose gradients this batch adds nothing to any more, while it goes on. */
  readonly completed?: (names: readonly string[]) => void;
}

/** What goes through the head in pieces. */
interface Chunks {
  readonly batch: PackedBatch;
  readonly mode: 'loss' | 'first' | 'more';
  readonly hidden: TensorView;
  readonly weight: number;
  readonly signal: AbortSignal | undefined;
}

/** Programs compiled for shapes kept at a time; a shape that was not seen for longest goes first. */
const MAX_PROGRAMS = 64;

/** A step's tensors, made over the workspace as it lies now. */
interface Bound {
  readonly hidden: TensorView;
  readonly dHidden: TensorView;
  /** What the forward half writes and, under the names of its inputs, the backward half reads. */
  readonly saved: TensorViews;
  readonly read: TensorViews;
  readonly rows: TensorViews;
  /** What passes from one part of a half to another. */
  readonly carried: TensorViews;
}

/** A part of the forward half. */
interface ForwardPart {
  readonly executable: Executable;
  readonly reads: readonly string[];
}

interface EvaluationProgram {
  readonly forward: readonly ForwardPart[];
  readonly bind: () => Bound;
}

interface TrainingProgram {
  readonly forward: readonly ForwardPart[];
  readonly backward: readonly BackwardPart[];
  readonly bind: () => Bound;
  readonly untouched: readonly string[];
}

interface BackwardPart extends ForwardPart {
  readonly rowSparse: readonly RowSparseOutput[];
  /** Parameters whose gradients it writes itself, and those that come in rows as well. */
  readonly dense: readonly string[];
  readonly writes: readonly string[];
  /** Parameters whose gradients are complete behind it. */
  readonly completes: readonly string[];
}

interface HeadProgram {
  readonly executable: Executable;
  readonly hidden: TensorView;
  readonly targets: TensorView;
  readonly weights: TensorView;
  readonly loss: TensorView;
  readonly correct: TensorView;
  readonly dHidden: TensorView;
  readonly rowIndices: TensorView;
  readonly rows: TensorView;
}

export class TrainStep {
  private readonly programs = new Map<string, Promise<EvaluationProgram | TrainingProgram | HeadProgram>>();
  /** What a step keeps between its forward and its backward half. */
  private readonly workspace: Workspace;
  private readonly rowMover: RowMover;
  private readonly trainable: ReadonlySet<string>;

  constructor(private readonly options: TrainStepOptions) {
    this.workspace = new Workspace(options.engine.memory);
    this.rowMover = createRowMover(options.engine, options.newBuilder);
    this.trainable = new Set(options.gradients.layout.tensors.map(({ name }) => name));
  }

  /** Compiles what {@link accumulate} will need for such a batch, so that the first step is as fast as the others. */
  async prepare(batch: Batch, first: boolean): Promise<void> {
    const { shape, rows } = packBatch(batch);
    await this.trainingProgram(shape, first);
    await this.headPrograms(rows.length, first);
  }

  /** All graphs before the first is run: what they work in has its full size then, and no smaller one was filled before. */
  private async headPrograms(rows: number, first: boolean): Promise<void> {
    for (const [i, size] of chunkSizes(rows, this.options.model.vocabSize).entries()) {
      await this.headProgram(size, first && i === 0 ? 'first' : 'more');
    }
  }

  /**
   * Forward and backward of one batch.
   * @returns Σ weight · loss over the batch's supervised tokens (natural log)
   */
  async accumulate(batch: Batch, options: AccumulateOptions): Promise<number> {
    const { weight, first, seed, signal, begins, completed } = options;
    const packed = packBatch(batch);
    const program = await this.trainingProgram(packed.shape, first);
    await this.headPrograms(packed.rows.length, first);
    const { hidden, dHidden, saved, read, rows: rowViews, carried } = program.bind();
    const inputs: Record<string, TensorView> = { ...packed.inputs, [BODY.seed]: view(BigInt64Array.of(seed), []) };
    for (const { name } of this.options.parameters.tensors) inputs[name] = this.options.parameters.view(name);

    await this.runForward(program.forward, inputs, { [BODY.hidden]: hidden, ...saved, ...carried }, signal);

    const gradients = this.options.gradients;
    begins?.([
      ...program.untouched,
      ...(this.trainable.has(this.options.model.headWeight) ? [this.options.model.headWeight] : []),
    ]);
    if (first) for (const name of program.untouched) this.rowMover.clear(gradients.view(name));
    const loss = await this.headGradients(packed, hidden, dHidden, weight, first, signal);

    const outputs: Record<string, TensorView> = { ...rowViews, ...carried };
    for (const { name } of gradients.layout.tensors) {
      outputs[BODY.grad(name)] = gradients.view(name);
      inputs[BODY.gradSoFar(name)] = gradients.view(name);
    }
    Object.assign(inputs, read, carried, { [BODY.dHidden]: dHidden });
    for (const { executable, reads, dense, rowSparse, writes, completes } of program.backward) {
      begins?.(writes);
      await this.during({ reads, writes: dense, adds: !first }, () => executable.run(inputs, outputs, signal));
      for (const { parameter, indices, rows } of rowSparse) {
        await this.during({ reads: [], writes: [parameter], adds: true }, () =>
          this.rowMover.add(gradients.view(parameter), rowViews[indices]!, rowViews[rows]!),
        );
      }
      completed?.(completes);
    }
    return loss;
  }

  private async runForward(
    parts: readonly ForwardPart[],
    inputs: TensorViews,
    outputs: TensorViews,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    // What one part has put out is there for the next.
    const all = { ...inputs, ...outputs };
    for (const { executable, reads } of parts)
      await this.during({ reads, writes: [], adds: false }, () => executable.run(all, outputs, signal));
  }

  /** Computes with these weights and gradients, wherever they are in between. */
  private during<T>(use: Use, compute: () => Promise<T>): Promise<T> {
    return this.options.stream ? this.options.stream.during(use, compute) : compute();
  }

  /** The gradients of no batch at all. */
  clearGradients(): void {
    const { data } = this.options.gradients;
    this.rowMover.clear(view(data, [data.length]));
  }

  /**
   * Over the batch's supervised tokens, without dropout: Σ loss (natural log), and how many of them the model finds likelier
   * than any other.
   */
  async evaluate(batch: Batch, signal?: AbortSignal): Promise<{ loss: number; correct: number }> {
    const packed = packBatch(batch);
    const { shape } = packed;
    const { forward, bind } = await this.program(`eval ${keyOf(shape)}`, async () => {
      const { engine, newBuilder, model, precision, stream } = this.options;
      const options = { byLayer: stream !== undefined, fused: engine.fusesAttention ?? false };
      const { parts, carried } = buildEvaluation(newBuilder('evaluation', precision), model, shape, options);
      const bind = this.binder(shape.tokens, { carried });
      return { forward: await this.compileParts(parts), bind };
    });
    const { hidden, carried } = bind();
    const inputs: Record<string, TensorView> = { ...packed.inputs };
    for (const { name } of this.options.parameters.tensors) inputs[name] = this.options.parameters.view(name);
    await this.runForward(forward, inputs, { [BODY.hidden]: hidden, ...carried }, signal);
    const sums = { loss: 0, correct: 0 };
    const chunks = { batch: packed, mode: 'loss', hidden, weight: 1, signal } as const;
    await this.eachChunk(chunks, async (head) => {
      sums.loss += (head.loss.data as Float32Array)[0]!;
      sums.correct += (head.correct.data as Float32Array)[0]!;
    });
    return sums;
  }

  async release(): Promise<void> {
    const all = [...this.programs.values()];
    this.programs.clear();
    for (const program of all) await this.releaseProgram(await program);
    await this.rowMover.release();
    this.options.stream?.release();
    this.workspace.release();
  }

  /** Fills `dHidden` and the head weight's gradient. @returns Σ weight · loss */
  private async headGradients(
    batch: PackedBatch,
    hidden: TensorView,
    dHidden: TensorView,
    weight: number,
    first: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let sum = 0;
    if (batch.rows.length === 0) {
      this.rowMover.clear(dHidden);
      const { headWeight } = this.options.model;
      if (first && this.trainable.has(headWeight)) this.rowMover.clear(this.options.gradients.view(headWeight));
    }
    const mode = first ? 'first' : 'more';
    await this.eachChunk({ batch, mode, hidden, weight, signal }, async (head, from, count) => {
      sum += (head.loss.data as Float32Array)[0]!;
      await this.rowMover.put(head.dHidden, batch.rows.subarray(from, from + count), dHidden, from === 0);
    });
    return sum;
  }

  private eachChunk(
    chunks: Chunks,
    done: (head: HeadProgram, from: number, count: number) => Promise<void>,
  ): Promise<void> {
    return this.during(this.headUse(chunks.mode), () => this.computeChunks(chunks, done));
  }

  private headUse(mode: Chunks['mode']): Use {
    const { headWeight } = this.options.model;
    const writes = mode !== 'loss' && this.trainable.has(headWeight) ? [headWeight] : [];
    // Where there is nothing to learn, what there is stays.
    return { reads: [headWeight], writes, adds: true };
  }

  private async computeChunks(
    { batch, mode, hidden, weight, signal }: Chunks,
    done: (head: HeadProgram, from: number, count: number) => Promise<void>,
  ): Promise<void> {
    const { model, parameters, gradients } = this.options;
    const trained = this.trainable.has(model.headWeight);
    const dWeight = trained ? gradients.view(model.headWeight) : undefined;
    const blocks = vocabularyBlocks(model.vocabSize);
    const dBlocks = trained ? blocks.map((rows) => gradients.rows(model.headWeight, rows)) : [];
    let from = 0;
    for (const size of chunkSizes(batch.rows.length, model.vocabSize)) {
      const kind = mode === 'loss' ? 'loss' : mode === 'first' && from === 0 ? 'first' : 'more';
      const head = await this.headProgram(size, kind);
      const count = Math.min(size, batch.rows.length - from);
      await this.rowMover.take(hidden, batch.rows.subarray(from, from + count), head.hidden);
      const targets = head.targets.data as BigInt64Array;
      for (let i = 0; i < count; i++) targets[i] = BigInt(batch.targets[from + i]!);
      targets.fill(0n, count);
      (head.weights.data as Float32Array).fill(weight, 0, count).fill(0, count);
      const inputs: Record<string, TensorView> = {
        [HEAD.hidden]: head.hidden,
        [HEAD.weight]: parameters.view(model.headWeight),
        [HEAD.targets]: head.targets,
        [HEAD.weights]: head.weights,
      };
      for (const [i, rows] of blocks.entries()) inputs[HEAD.weightBlock(i)] = parameters.rows(model.headWeight, rows);
      const outputs: Record<string, TensorView> = { [HEAD.loss]: head.loss };
      if (kind === 'loss') outputs[HEAD.correct] = head.correct;
      else {
        outputs[HEAD.dHidden] = head.dHidden;
        if (dWeight) {
          for (const [i, block] of dBlocks.entries()) {
            inputs[HEAD.dWeightSoFar(i)] = block;
            outputs[HEAD.dWeight(i)] = block;
          }
        }
        outputs[HEAD.dRowIndices] = head.rowIndices;
        outputs[HEAD.dRows] = head.rows;
      }
      await head.executable.run(inputs, outputs, signal);
      if (kind !== 'loss' && dWeight) await this.rowMover.add(dWeight, head.rowIndices, head.rows);
      await done(head, from, count);
      from += count;
    }
  }

  private trainingProgram(shape: BatchShape, first: boolean): Promise<TrainingProgram> {
    return this.program(`train ${keyOf(shape)} ${first}`, () => this.compileTraining(shape, !first));
  }

  private headProgram(rows: number, kind: 'loss' | 'first' | 'more'): Promise<HeadProgram> {
    return this.program(`head ${rows} ${kind}`, () => this.compileHead(rows, kind));
  }

  private async compileHead(rows: number, kind: 'loss' | 'first' | 'more'): Promise<HeadProgram> {
    const { engine, newBuilder, model, precision } = this.options;
    const shape = headShape(model, rows);
    const g = newBuilder(`head-${kind}`, precision);
    if (kind === 'loss') buildHeadEvaluation(g, shape);
    else buildHeadTraining(g, shape, this.trainable.has(model.headWeight) ? kind : 'frozen');
    const program = {
      executable: await engine.compile(g.graph),
      hidden: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
      dHidden: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
      targets: view(new BigInt64Array(rows), [rows]),
      weights: view(new Float32Array(rows), [rows]),
      loss: view(new Float32Array(1), []),
      correct: view(new Float32Array(1), []),
      rowIndices: view(new BigInt64Array(rows), [rows]),
      rows: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
    };
    for (const { data } of onDevice(program)) engine.memory?.reserve(data);
    return program;
  }

  private async compileTraining(shape: BatchShape, accumulate: boolean): Promise<TrainingProgram> {
    const { engine, newBuilder, model, checkpointing = false, precision, stream } = this.options;
    const graphs = buildTraining(newBuilder('body', precision), model, shape, {
      trainable: this.trainable,
      accumulate,
      checkpointing,
      parts: stream ? 'byLayer' : (this.options.parts ?? 1),
      fused: engine.fusesAttention ?? false,
    });
    const [forward, backward] = await Promise.all([
      this.compileParts(graphs.forward),
      this.compileParts(graphs.backward),
    ]);
    const bind = this.binder(shape.tokens, graphs);
    // What neither graph writes in full must be zeroed before rows are added to it.
    const written = new Set([...graphs.dense, model.headWeight]);
    const untouched = [...this.trainable].filter((name) => !written.has(name));
    const program = { forward, backward: this.partsOf(graphs, backward), bind, untouched };
    const uses = [
      this.headUse('first'),
      ...program.forward.map(({ reads }) => ({ reads, writes: [], adds: false })),
      ...program.backward.map(({ reads, dense }) => ({ reads, writes: dense, adds: !accumulate })),
    ];
    for (const use of uses) stream?.reserve(use);
    return program;
  }

  private compileParts(graphs: readonly Graph[]): Promise<ForwardPart[]> {
    const { engine, parameters } = this.options;
    const names = new Set(parameters.tensors.map(({ name }) => name));
    return Promise.all(
      graphs.map(async (graph) => {
        const executable = await engine.compile(graph);
        const reads = executable.graph.inputs.map(({ name }) => name).filter((name) => names.has(name));
        return { executable, reads };
      }),
    );
  }

  private partsOf({ rowSparse }: TrainingGraphs, compiled: readonly ForwardPart[]): BackwardPart[] {
    // By the last part that has to do with it; the head's weight, and what no part touches, come before all.
    const last = new Map<string, number>([...this.trainable].map((name) => [name, 0]));
    const parts = compiled.map(({ executable, reads }, at) => {
      const own = rowSparse.filter(({ rows }) => executable.graph.outputs.has(rows));
      const dense = [...this.trainable].filter((name) => executable.graph.outputs.has(BODY.grad(name)));
      const writes = [...new Set([...dense, ...own.map(({ parameter }) => parameter)])];
      for (const name of writes) last.set(name, at);
      return { executable, reads, dense, rowSparse: own, writes };
    });
    return parts.map((part, at) => ({
      ...part,
      completes: [...last].flatMap(([name, part]) => (part === at ? [name] : [])),
    }));
  }

  /** Lays a step's tensors out in the workspace. The views are made when first asked for, and again when it has grown. */
  private binder(
    tokens: number,
    graphs: Partial<Pick<TrainingGraphs, 'saved' | 'buffers' | 'rowSparse' | 'carried'>>,
  ): () => Bound {
    const { saved = [], buffers = new Map<string, TensorType>(), rowSparse = [] } = graphs;
    const { carried = new Map<string, TensorType>() } = graphs;
    const hidden: TensorType = { dtype: 'float32', shape: [tokens, this.options.model.hiddenSize] };
    const types = new Map([...buffers, ...carried, ['(hidden)', hidden], ['(dHidden)', hidden]]);
    for (const { indices, rows, rowsShape } of rowSparse) {
      types.set(indices, { dtype: 'int64', shape: rowsShape.slice(0, 1) });
      types.set(rows, { dtype: 'float32', shape: rowsShape });
    }
    const { offsets, bytes } = layOut(types);
    // Graphs are compiled between runs.
    this.workspace.reserve(bytes, true);

    let bound: Bound | undefined;
    let generation = -1;
    return () => {
      if (bound && generation === this.workspace.generation) return bound;
      generation = this.workspace.generation;
      const views: Record<string, TensorView> = {};
      for (const [name, type] of types) {
        const { dtype, shape } = type;
        views[name] = { dtype, shape, data: this.workspace.slice(offsets.get(name)!, type) };
      }
      const pick = (names: Iterable<string>) => Object.fromEntries([...names].map((name) => [name, views[name]!]));
      bound = {
        hidden: views['(hidden)']!,
        dHidden: views['(dHidden)']!,
        saved: pick(buffers.keys()),
        read: Object.fromEntries(
          saved.map(({ buffer, input, shape }) => [input, { ...views[buffer]!, shape }] as const),
        ),
        rows: pick(rowSparse.flatMap(({ indices, rows }) => [indices, rows])),
        carried: pick(carried.keys()),
      };
      return bound;
    };
  }

  private async program<T extends EvaluationProgram | TrainingProgram | HeadProgram>(
    key: string,
    compile: () => Promise<T>,
  ): Promise<T> {
    let found = this.programs.get(key) as Promise<T> | undefined;
    if (found) this.programs.delete(key);
    else {
      found = compile();
      if (this.programs.size >= MAX_PROGRAMS) {
        const [oldest, program] = this.programs.entries().next().value!;
        this.programs.delete(oldest);
        await this.releaseProgram(await program);
      }
    }
    this.programs.set(key, found);
    return found;
  }

  private async releaseProgram(program: EvaluationProgram | TrainingProgram | HeadProgram): Promise<void> {
    if ('executable' in program) {
      await program.executable.release();
      for (const { data } of onDevice(program)) this.options.engine.memory?.release(data);
      return;
    }
    const parts = [...program.forward, ...('backward' in program ? program.backward : [])];
    for (const { executable } of parts) await executable.release();
  }
}

function keyOf({ batch, length, tokens }: BatchShape): string {
  return `${batch}x${length}/${tokens}`;
}

/** What of a head's program lies where it is computed. */
const onDevice = ({ hidden, dHidden, rowIndices, rows }: HeadProgram) => [hidden, dHidden, rowIndices, rows];
