/**
 * One batch through the model: forward, loss over chunks of the supervised positions, backward into the gradient
 * arena. Graphs are compiled when a shape first comes and kept.
 */
import type { Batch } from '../data/collate';
import { type Engine, type Executable, type TensorView, type TensorViews, view } from '../engine/engine';
import { layOut, Workspace } from '../engine/workspace';
import type { Builder } from '../graph/builder';
import type { TensorType, Value } from '../graph/ir';
import { buildHeadLoss, buildHeadTraining, chunkSizes, HEAD, vocabularyBlocks } from '../heads/causalLm';
import type { CausalLm } from '../models/causalLm';
import type { Arena } from './arena';
import {
  type BatchShape,
  BODY,
  buildEvaluation,
  buildTraining,
  type RowSparseOutput,
  type TrainingGraphs,
} from './bodyProgram';
import { type PackedBatch, packBatch } from './packedBatch';
import { addRows } from './rowSparse';

export interface TrainStepOptions {
  readonly engine: Engine;
  readonly newBuilder: (name: string) => Builder;
  readonly model: CausalLm;
  readonly parameters: Arena;
  readonly gradients: Arena;
  /** Keep little between forward and backward, and compute the rest again. Default false. */
  readonly checkpointing?: boolean;
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
}

/** What goes through the head in pieces. */
interface Chunks {
  readonly batch: PackedBatch;
  readonly mode: 'loss' | 'first' | 'more';
  readonly hidden: Float32Array;
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
}

interface EvaluationProgram {
  readonly forward: Executable;
  readonly bind: () => Bound;
}

interface TrainingProgram {
  readonly forward: Executable;
  readonly backward: Executable;
  readonly bind: () => Bound;
  readonly rowSparse: readonly RowSparseOutput[];
  readonly untouched: readonly string[];
}

interface HeadProgram {
  readonly executable: Executable;
  readonly hidden: TensorView;
  readonly targets: TensorView;
  readonly weights: TensorView;
  readonly loss: TensorView;
  readonly dHidden: TensorView;
  readonly rowIndices: TensorView;
  readonly rows: TensorView;
}

export class TrainStep {
  private readonly programs = new Map<string, Promise<EvaluationProgram | TrainingProgram | HeadProgram>>();
  /** What a step keeps between its forward and its backward half. */
  private readonly workspace = new Workspace();
  private readonly trainable: ReadonlySet<string>;

  constructor(private readonly options: TrainStepOptions) {
    this.trainable = new Set(options.gradients.layout.tensors.map(({ name }) => name));
  }

  /** Compiles what {@link accumulate} will need for such a batch, so that the first step is as fast as the others. */
  async prepare(batch: Batch, first: boolean): Promise<void> {
    const { shape, rows } = packBatch(batch);
    await this.trainingProgram(shape, first);
    for (const [i, size] of chunkSizes(rows.length, this.options.model.vocabSize).entries()) {
      await this.headProgram(size, first && i === 0 ? 'first' : 'more');
    }
  }

  /**
   * Forward and backward of one batch.
   * @returns Σ weight · loss over the batch's supervised tokens (natural log)
   */
  async accumulate(batch: Batch, { weight, first, seed, signal }: AccumulateOptions): Promise<number> {
    const packed = packBatch(batch);
    const program = await this.trainingProgram(packed.shape, first);
    const { hidden, dHidden, saved, read, rows: rowViews } = program.bind();
    const inputs: Record<string, TensorView> = { ...packed.inputs, [BODY.seed]: view(BigInt64Array.of(seed), []) };
    for (const { name } of this.options.parameters.layout.tensors) inputs[name] = this.options.parameters.view(name);

    await program.forward.run(inputs, { [BODY.hidden]: hidden, ...saved }, signal);

    const gradients = this.options.gradients;
    if (first) for (const name of program.untouched) gradients.slice(name).fill(0);
    const loss = await this.headGradients(
      packed,
      hidden.data as Float32Array,
      dHidden.data as Float32Array,
      weight,
      first,
      signal,
    );

    const outputs: Record<string, TensorView> = { ...rowViews };
    for (const { name } of gradients.layout.tensors) {
      outputs[BODY.grad(name)] = gradients.view(name);
      inputs[BODY.gradSoFar(name)] = gradients.view(name);
    }
    await program.backward.run({ ...inputs, ...read, [BODY.dHidden]: dHidden }, outputs, signal);
    for (const { parameter, indices, rows } of program.rowSparse) {
      const width = rowViews[rows]!.shape.at(-1)!;
      addRows(
        gradients.slice(parameter),
        rowViews[indices]!.data as BigInt64Array,
        rowViews[rows]!.data as Float32Array,
        width,
      );
    }
    return loss;
  }

  /** The gradients of no batch at all. */
  clearGradients(): void {
    this.options.gradients.data.fill(0);
  }

  /** Σ loss over the batch's supervised tokens (natural log), without dropout. */
  async evaluate(batch: Batch, signal?: AbortSignal): Promise<number> {
    const packed = packBatch(batch);
    const { shape } = packed;
    const { forward, bind } = await this.program(`eval ${keyOf(shape)}`, async () => {
      const graph = buildEvaluation(this.options.newBuilder('evaluation'), this.options.model, shape);
      return { forward: await this.options.engine.compile(graph), bind: this.binder(shape.tokens) };
    });
    const { hidden } = bind();
    const inputs: Record<string, TensorView> = { ...packed.inputs };
    for (const { name } of this.options.parameters.layout.tensors) inputs[name] = this.options.parameters.view(name);
    await forward.run(inputs, { [BODY.hidden]: hidden }, signal);
    let sum = 0;
    const chunks = { batch: packed, mode: 'loss', hidden: hidden.data as Float32Array, weight: 1, signal } as const;
    await this.eachChunk(chunks, async (head) => {
      sum += (head.loss.data as Float32Array)[0]!;
    });
    return sum;
  }

  async release(): Promise<void> {
    const all = [...this.programs.values()];
    this.programs.clear();
    for (const program of all) await releaseProgram(await program);
  }

  /** Fills `dHidden` and the head weight's gradient. @returns Σ weight · loss */
  private async headGradients(
    batch: PackedBatch,
    hidden: Float32Array,
    dHidden: Float32Array,
    weight: number,
    first: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const width = this.options.model.hiddenSize;
    let sum = 0;
    dHidden.fill(0);
    const mode = first ? 'first' : 'more';
    await this.eachChunk({ batch, mode, hidden, weight, signal }, async (head, from, count) => {
      sum += (head.loss.data as Float32Array)[0]!;
      const gradient = head.dHidden.data as Float32Array;
      for (let i = 0; i < count; i++)
        dHidden.set(gradient.subarray(i * width, (i + 1) * width), batch.rows[from + i]! * width);
    });
    return sum;
  }

  private async eachChunk(
    { batch, mode, hidden, weight, signal }: Chunks,
    done: (head: HeadProgram, from: number, count: number) => Promise<void>,
  ): Promise<void> {
    const { model, parameters, gradients } = this.options;
    const width = model.hiddenSize;
    const trained = this.trainable.has(model.headWeight);
    const dWeight = trained ? gradients.view(model.headWeight) : undefined;
    const blocks = vocabularyBlocks(model.vocabSize);
    const dBlocks = trained ? blocks.map((rows) => gradients.rows(model.headWeight, rows)) : [];
    let from = 0;
    for (const size of chunkSizes(batch.rows.length, model.vocabSize)) {
      const kind = mode === 'loss' ? 'loss' : mode === 'first' && from === 0 ? 'first' : 'more';
      const head = await this.headProgram(size, kind);
      const count = Math.min(size, batch.rows.length - from);
      const rows = head.hidden.data as Float32Array;
      const targets = head.targets.data as BigInt64Array;
      for (let i = 0; i < count; i++) {
        const row = batch.rows[from + i]!;
        rows.set(hidden.subarray(row * width, (row + 1) * width), i * width);
        targets[i] = BigInt(batch.targets[from + i]!);
      }
      rows.fill(0, count * width);
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
      if (kind !== 'loss') {
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
      if (kind !== 'loss' && dWeight) {
        addRows(
          dWeight.data as Float32Array,
          head.rowIndices.data as BigInt64Array,
          head.rows.data as Float32Array,
          width,
        );
      }
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
    const { engine, newBuilder, model } = this.options;
    const shape = { rows, hidden: model.hiddenSize, vocab: model.vocabSize };
    const g = newBuilder(`head-${kind}`);
    if (kind === 'loss') buildHeadLoss(g, shape);
    else buildHeadTraining(g, shape, kind === 'more');
    return {
      executable: await engine.compile(g.graph),
      hidden: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
      dHidden: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
      targets: view(new BigInt64Array(rows), [rows]),
      weights: view(new Float32Array(rows), [rows]),
      loss: view(new Float32Array(1), []),
      rowIndices: view(new BigInt64Array(rows), [rows]),
      rows: view(new Float32Array(rows * shape.hidden), [rows, shape.hidden]),
    };
  }

  private async compileTraining(shape: BatchShape, accumulate: boolean): Promise<TrainingProgram> {
    const { engine, newBuilder, model, checkpointing = false } = this.options;
    const graphs = buildTraining(newBuilder('body'), model, shape, {
      trainable: this.trainable,
      accumulate,
      checkpointing,
    });
    const [forward, backward] = await Promise.all([engine.compile(graphs.forward), engine.compile(graphs.backward)]);
    const buffers = new Map<string, Value>();
    for (const { buffer } of graphs.saved) buffers.set(buffer, graphs.forward.outputs.get(buffer)!);
    const bind = this.binder(shape.tokens, buffers, graphs);
    // What neither graph writes in full must be zeroed before rows are added to it.
    const written = new Set([...graphs.dense, model.headWeight]);
    const untouched = [...this.trainable].filter((name) => !written.has(name));
    return { forward, backward, bind, rowSparse: graphs.rowSparse, untouched };
  }

  /** Lays a step's tensors out in the workspace. The views are made when first asked for, and again when it has grown. */
  private binder(
    tokens: number,
    buffers: ReadonlyMap<string, TensorType> = new Map(),
    { saved, rowSparse }: Pick<TrainingGraphs, 'saved' | 'rowSparse'> = { saved: [], rowSparse: [] },
  ): () => Bound {
    const hidden: TensorType = { dtype: 'float32', shape: [tokens, this.options.model.hiddenSize] };
    const types = new Map([...buffers, ['(hidden)', hidden], ['(dHidden)', hidden]]);
    for (const { indices, rows, rowsShape } of rowSparse) {
      types.set(indices, { dtype: 'int64', shape: rowsShape.slice(0, 1) });
      types.set(rows, { dtype: 'float32', shape: rowsShape });
    }
    const { offsets, bytes } = layOut(types);
    this.workspace.reserve(bytes);

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
        await releaseProgram(await program);
      }
    }
    this.programs.set(key, found);
    return found;
  }
}

function keyOf({ batch, length, tokens }: BatchShape): string {
  return `${batch}x${length}/${tokens}`;
}

async function releaseProgram(program: EvaluationProgram | TrainingProgram | HeadProgram): Promise<void> {
  if ('executable' in program) await program.executable.release();
  else {
    await program.forward.release();
    if ('backward' in program) await program.backward.release();
  }
}
