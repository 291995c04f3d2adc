/**
 * Optimizers whose update of a weight needs nothing but that weight, its gradient and its moments. They share this
 * driver: one graph over a chunk of fixed size runs along the arenas, in place (its feeds are its fetches), and a second
 * one does the rest.
 *
 * A chunk is small enough to lie in the caches while a dozen element-wise ops pass over it, and large enough for ONNX
 * Runtime to give an op to a second thread, which it does from some 90,000 floats on. AdamW with decay over 68.5 M
 * weights on 2 cores with 2 MB of L2 each, by the chunk's size in K floats, one run: 80: 315 ms; 96: 229; 128: 216;
 * 160: 208; 192: 201; 256: 198. Two chunks in one run: 192: 192 ms, too little to plan for. A rule with a kernel does it in
 * one pass, where the arenas lie in one {@link ArenaMemory}: AdamW in 100 ms, on one core.
 */
import { setImmediate } from 'node:timers/promises';
import type { Executable, TensorView } from '../engine/engine';
import { view } from '../engine/engine';
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import { allocateFloats, type RateRange } from '../train/arena';
import { ArenaMemory, type Kernels } from '../train/arenaMemory';
import type { Optimizer, OptimizerContext, OptimizerDef, OptimizerRecipe, StepOptions } from './optimizer';

export const CHUNK_SIZE = 196_608;
/** On a GPU: starting an op costs more than caches save; what is in between takes some 64 MB an op. */
const DEVICE_CHUNK_SIZE = 2 ** 24;

/** What {@link ElementwiseRule.update} works with; all values are `[chunk]`. */
export interface UpdateContext<Scalar extends string> {
  readonly g: Builder;
  readonly parameter: Value;
  readonly gradient: Value;
  /** In the order of {@link ElementwiseRule.state}. */
  readonly state: readonly Value[];
  /** A number of the step, as a rank-0 input. */
  scalar(name: Scalar): Value;
  /** Whether weight decay acts here: the graph is shorter where not. */
  readonly decays: boolean;
}

export interface ElementwiseRule<Scalar extends string> {
  /** Names of the moments, each as long as the parameters. */
  readonly state: readonly string[];
  /** Writes the update. State is new, in the old order. */
  update(context: UpdateContext<Scalar>): { parameter: Value; state: readonly Value[] };
  /** The numbers of a step: all of JavaScript's precision goes into them before they become float32. */
  scalars(options: StepOptions): Readonly<Record<Scalar, number>>;
  /**
   * The same update in one pass, over weights in the arenas' common memory: `bytes` of them, at the addresses of
   * parameter, gradient and moments.
   */
  kernel?(kernels: Kernels, at: UpdateAddresses, numbers: Readonly<Record<Scalar, number>>, decays: boolean): void;
}

export interface UpdateAddresses {
  readonly parameter: number;
  readonly gradient: number;
  readonly state: readonly number[];
  readonly bytes: number;
}

/** Floats that a kernel passes over before others get their turn: some ten milliseconds. */
const KERNEL_CHUNK = 8 * 2 ** 20;

/** An optimizer made of an element-wise rule. */
export function elementwise<Scalar extends string>(
  rule: (recipe: OptimizerRecipe) => ElementwiseRule<Scalar>,
): OptimizerDef {
  return {
    create: (context) => ElementwiseOptimizer.create(rule(context.recipe), context),
    stateSize: (layout, recipe) => rule(recipe).state.length * layout.size,
  };
}

/** Floats `[from, to)` that are updated alike. */
interface UpdateRange extends RateRange {
  /** Whether weight decay acts. */
  readonly decays: boolean;
}

function rangesOf({ layout, recipe }: OptimizerContext): UpdateRange[] {
  const border = recipe.weight_decay > 0 ? layout.decayed : 0;
  return layout.rates
    .flatMap(({ from, to, rate }) => [
      { from, to: Math.min(to, border), rate, decays: true },
      { from: Math.max(from, border), to, rate, decays: false },
    ])
    .filter(({ from, to }) => to > from);
}

interface ChunkRun {
  readonly executable: Executable;
  readonly inputs: Readonly<Record<string, TensorView>>;
  readonly outputs: Readonly<Record<string, TensorView>>;
}

class ElementwiseOptimizer<Scalar extends string> implements Optimizer {
  readonly state: Optimizer['state'];
  private readonly executables = new Map<string, Executable>();
  private readonly runs: ChunkRun[] = [];
  /** The numbers of a step, by what the learning rate is multiplied by. */
  private readonly scalars = new Map<number, Readonly<Record<Scalar, TensorView>>>();
  private readonly ranges: readonly UpdateRange[];
  private readonly kernels: Kernels | undefined;
  private readonly chunkSize: number;

  private constructor(
    private readonly rule: ElementwiseRule<Scalar>,
    private readonly context: OptimizerContext,
  ) {
    const { engine, layout, parameters, gradients } = context;
    const memory = ArenaMemory.of(parameters, gradients);
    this.state = rule.state.map((name) => ({
      name,
      data: allocateFloats(layout.size, `the optimizer's ${name}`, memory),
    }));
    for (const { data } of this.state) engine.memory?.reserve(data);
    this.chunkSize = engine.memory ? DEVICE_CHUNK_SIZE : CHUNK_SIZE;
    this.kernels = rule.kernel && ArenaMemory.of(parameters, gradients, ...this.state.map(({ data }) => data))?.kernels;
    this.ranges = rangesOf(context);
    const names = Object.keys(rule.scalars({ learningRate: 0, gradientScale: 1, step: 1 })) as Scalar[];
    for (const { rate } of this.ranges) {
      const scalars = Object.fromEntries(names.map((name) => [name, view(new Float32Array(1), [])]));
      if (!this.scalars.has(rate)) this.scalars.set(rate, scalars as Record<Scalar, TensorView>);
    }
  }

  static async create<Scalar extends string>(
    rule: ElementwiseRule<Scalar>,
    context: OptimizerContext,
  ): Promise<Optimizer> {
    const optimizer = new ElementwiseOptimizer(rule, context);
    if (optimizer.kernels) return optimizer;
    try {
      for (const range of optimizer.ranges) await optimizer.cover(range);
    } catch (error) {
      await optimizer.release();
      throw error;
    }
    return optimizer;
  }

  async step(options: StepOptions): Promise<void> {
    const numbersAt = (rate: number) => this.rule.scalars({ ...options, learningRate: options.learningRate * rate });
    if (this.kernels) {
      for (const range of this.ranges) await this.pass(this.kernels, numbersAt(range.rate), range);
      return;
    }
    for (const [rate, scalars] of this.scalars) {
      const numbers = numbersAt(rate);
      for (const name in scalars) scalars[name].data[0] = numbers[name];
    }
    for (const { executable, inputs, outputs } of this.runs) await executable.run(inputs, outputs);
  }

  async release(): Promise<void> {
    this.runs.length = 0;
    for (const executable of this.executables.values()) await executable.release();
    this.executables.clear();
  }

  private async pass(
    kernels: Kernels,
    numbers: Readonly<Record<Scalar, number>>,
    { from: start, to: end, decays }: UpdateRange,
  ): Promise<void> {
    const { parameters, gradients } = this.context;
    for (let from = start; from < end; from += KERNEL_CHUNK) {
      const address = (data: Float32Array) => data.byteOffset + from * data.BYTES_PER_ELEMENT;
      const at = {
        parameter: address(parameters),
        gradient: address(gradients),
        state: this.state.map(({ data }) => address(data)),
        bytes: (Math.min(end, from + KERNEL_CHUNK) - from) * parameters.BYTES_PER_ELEMENT,
      };
      this.rule.kernel!(kernels, at, numbers, decays);
      await setImmediate();
    }
  }

  /** Plans the runs over a range. */
  private async cover({ from: start, to: end, decays, rate }: UpdateRange): Promise<void> {
    const { chunkSize } = this;
    const rest = (end - start) % chunkSize;
    if (end - rest > start) {
      const executable = await this.compile(chunkSize, decays);
      for (let at = start; at < end - rest; at += chunkSize) this.plan(executable, at, chunkSize, rate);
    }
    if (rest > 0) this.plan(await this.compile(rest, decays), end - rest, rest, rate);
  }

  private plan(executable: Executable, start: number, size: number, rate: number): void {
    const { parameters, gradients } = this.context;
    const chunk = (data: Float32Array) => view(data.subarray(start, start + size), [size]);
    const inputs: Record<string, TensorView> = { ...this.scalars.get(rate), parameter: chunk(parameters) };
    const outputs: Record<string, TensorView> = { parameter_next: inputs.parameter! };
    inputs.gradient = chunk(gradients);
    for (const { name, data } of this.state) outputs[`${name}_next`] = inputs[name] = chunk(data);
    this.runs.push({ executable, inputs, outputs });
  }

  private async compile(size: number, decays: boolean): Promise<Executable> {
    const name = `optimizer_${size}${decays ? '_decay' : ''}`;
    const known = this.executables.get(name);
    if (known) return known;
    const g = this.context.newBuilder(name);
    const tensor = (name: string) => g.input(name, 'float32', [size]);
    const scalars = new Map<Scalar, Value>();
    const next = this.rule.update({
      g,
      parameter: tensor('parameter'),
      gradient: tensor('gradient'),
      state: this.rule.state.map(tensor),
      scalar: (name) => {
        let value = scalars.get(name);
        if (!value) {
          value = g.input(name, 'float32', []);
          scalars.set(name, value);
        }
        return value;
      },
      decays,
    });
    g.output('parameter_next', next.parameter);
    this.rule.state.forEach((name, i) => {
      g.output(`${name}_next`, next.state[i]!);
    });
    const executable = await this.context.engine.compile(g.graph);
    this.executables.set(name, executable);
    return executable;
  }
}
