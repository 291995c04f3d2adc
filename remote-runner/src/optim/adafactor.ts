/**
 * Adafactor (Shazeer & Stern 2018) as transformers' Trainer sets it: scale_parameter and relative_step off, no first
 * moment, clip_threshold 1, eps (1e-30, ·), decay_rate −0.8, and weight decay decoupled from the gradient.
 *
 * With β = 1 − t^−0.8 the second moment of a matrix G [R, C] is kept as the means of its rows and of its columns,
 *
 *   r ← β r + (1 − β) (mean_C(G²) + ε₁)        c ← β c + (1 − β) (mean_R(G²) + ε₁)
 *   U = G · √(mean(r) / r) · √(1 / c)          p ← p (1 − ηλ) − η U / max(1, rms(U))
 *
 * of anything else element by element: v ← β v + (1 − β) (G² + ε₁), U = G / √v. Higher ranks are stacks of matrices.
 * Its norms run over whole tensors, so there is one graph a distinct shape, and a run a tensor.
 */
import { type Executable, type TensorView, view } from '../engine/engine';
import type { Builder } from '../graph/builder';
import type { Shape, Value } from '../graph/ir';
import { elementCount } from '../graph/ir';
import { type ArenaLayout, type ArenaTensor, allocateFloats } from '../train/arena';
import type { Optimizer, OptimizerContext, OptimizerDef, StepOptions } from './optimizer';

const EPSILON = 1e-30;
const DECAY_RATE = -0.8;
const CLIP_THRESHOLD = 1;

export const adafactor: OptimizerDef = {
  create: (context) => Adafactor.create(context),
  stateSize,
};

const SCALARS = ['gradient_factor', 'beta', 'one_minus_beta', 'rate', 'keep'] as const;
type Scalars<T> = Record<(typeof SCALARS)[number], T>;

interface TensorRun {
  readonly executable: Executable;
  readonly inputs: Readonly<Record<string, TensorView>>;
  readonly outputs: Readonly<Record<string, TensorView>>;
}

class Adafactor implements Optimizer {
  readonly state: Optimizer['state'];
  private readonly secondMoment: Float32Array;
  private readonly executables = new Map<string, Executable>();
  private readonly runs: TensorRun[] = [];
  /** By what the learning rate is multiplied by. */
  private readonly scalars = new Map<number, Scalars<TensorView>>();

  private constructor(private readonly context: OptimizerContext) {
    this.secondMoment = allocateFloats(stateSize(context.layout), 'the optimizer’s second moment');
    context.engine.memory?.reserve(this.secondMoment);
    this.state = [{ name: 'second_moment', data: this.secondMoment }];
  }

  static async create(context: OptimizerContext): Promise<Optimizer> {
    const optimizer = new Adafactor(context);
    try {
      await optimizer.planAll();
    } catch (error) {
      await optimizer.release();
      throw error;
    }
    return optimizer;
  }

  async step({ learningRate, gradientScale, step }: StepOptions): Promise<void> {
    const oneMinusBeta = step ** DECAY_RATE;
    for (const [times, scalars] of this.scalars) {
      const rate = learningRate * times;
      scalars.gradient_factor.data[0] = gradientScale;
      scalars.beta.data[0] = 1 - oneMinusBeta;
      scalars.one_minus_beta.data[0] = oneMinusBeta;
      scalars.rate.data[0] = rate;
      scalars.keep.data[0] = 1 - rate * this.context.recipe.weight_decay;
    }
    for (const { executable, inputs, outputs } of this.runs) await executable.run(inputs, outputs);
  }

  async release(): Promise<void> {
    this.runs.length = 0;
    for (const executable of this.executables.values()) await executable.release();
    this.executables.clear();
  }

  private async planAll(): Promise<void> {
    const { layout, parameters, gradients, recipe } = this.context;
    let at = 0;
    for (const tensor of layout.tensors) {
      if (tensor.size === 0) continue;
      const shape = computedShape(tensor);
      const own = (data: Float32Array) => view(data.subarray(tensor.offset, tensor.offset + tensor.size), shape);
      const parameter = own(parameters);
      const inputs: Record<string, TensorView> = {
        ...this.scalarsOf(tensor.rate ?? 1),
        parameter,
        gradient: own(gradients),
      };
      const outputs: Record<string, TensorView> = { parameter_next: parameter };
      for (const [name, momentShape] of Object.entries(momentShapes(shape))) {
        const size = elementCount(momentShape);
        const moment = view(this.secondMoment.subarray(at, at + size), momentShape);
        inputs[name] = outputs[`${name}_next`] = moment;
        at += size;
      }
      const executable = await this.executable(shape, tensor.decay && recipe.weight_decay > 0);
      this.runs.push({ executable, inputs, outputs });
    }
  }

  private scalarsOf(times: number): Scalars<TensorView> {
    const scalar = () => view(new Float32Array(1), []);
    const found = this.scalars.get(times) ?? {
      ...{ gradient_factor: scalar(), beta: scalar(), one_minus_beta: scalar() },
      ...{ rate: scalar(), keep: scalar() },
    };
    this.scalars.set(times, found);
    return found;
  }

  private async executable(shape: Shape, decays: boolean): Promise<Executable> {
    const name = `adafactor_${shape.join('x')}${decays ? '_decay' : ''}`;
    let found = this.executables.get(name);
    if (!found) {
      const g = this.context.newBuilder(name);
      writeUpdate(g, shape, decays);
      found = await this.context.engine.compile(g.graph);
      this.executables.set(name, found);
    }
    return found;
  }
}

function writeUpdate(g: Builder, shape: Shape, decays: boolean): void {
  const parameter = g.input('parameter', 'float32', shape);
  const gradient = g.input('gradient', 'float32', shape);
  const moments = Object.entries(momentShapes(shape)).map(([name, type]) => g.input(name, 'float32', type));
  const scalar = Object.fromEntries(SCALARS.map((name) => [name, g.input(name, 'float32', [])])) as Scalars<Value>;
  /** β moment + (1 − β) (of + ε₁) */
  const next = (moment: Value, of: Value) =>
    g.add(g.mul(moment, scalar.beta), g.mul(g.add(of, EPSILON), scalar.one_minus_beta));
  /** What the update is to be multiplied by, from the mean of its squares. */
  const factor = (meanSquare: Value) => g.div(scalar.rate, g.max(g.div(g.sqrt(meanSquare), CLIP_THRESHOLD), 1));
  const kept = decays ? g.mul(parameter, scalar.keep) : parameter;

  const [first, second] = moments as [Value, Value | undefined];
  if (!second) {
    const scaled = g.mul(gradient, scalar.gradient_factor);
    const variance = next(first, g.square(scaled));
    const update = g.div(scaled, g.sqrt(variance));
    const step = g.mul(update, factor(g.reduceMean(g.square(update), [0])));
    g.output('variance_next', variance);
    g.output('parameter_next', g.sub(kept, step));
    return;
  }
  // Tensors of the weight's own size cost: the gradient is squared once, and scaled with the rows.
  const rank = shape.length;
  const square = g.square(gradient);
  const scale = g.square(scalar.gradient_factor);
  const rows = next(first, g.mul(g.reduceMean(square, [rank - 1]), scale)); // [.., R]
  const columns = next(second, g.mul(g.reduceMean(square, [rank - 2]), scale)); // [.., C]
  const rowSquares = g.div(g.reduceMean(rows, [rank - 2], true), rows); // [.., R]
  const columnSquares = g.reciprocal(columns);
  // rms(U)² = mean_R(G² · column², summed over C, · row²) / C, of which the sum is a product of matrices
  const summed = g.matMul(square, g.reshape(columnSquares, [...columns.shape, 1])); // [.., R, 1]
  const weighted = g.mul(g.mul(g.reshape(summed, rows.shape), scale), rowSquares);
  const every = rows.shape.map((_, axis) => axis);
  const meanSquare = g.div(g.reduceMean(weighted, every), shape[rank - 1]!);
  const rowFactor = g.mul(g.sqrt(rowSquares), g.mul(factor(meanSquare), scalar.gradient_factor));
  const columnFactor = g.reshape(g.sqrt(columnSquares), [...shape.slice(0, -2), 1, shape[rank - 1]!]);
  const step = g.mul(g.mul(gradient, g.reshape(rowFactor, [...rows.shape, 1])), columnFactor);
  g.output('row_next', rows);
  g.output('column_next', columns);
  g.output('parameter_next', g.sub(kept, step));
}

/** A single number is computed as a vector of one. */
function computedShape({ shape, size }: ArenaTensor): Shape {
  return shape.length < 2 ? [size] : shape;
}

function momentShapes(shape: Shape): Readonly<Record<string, Shape>> {
  if (shape.length < 2) return { variance: shape };
  return { row: shape.slice(0, -1), column: [...shape.slice(0, -2), shape.at(-1)!] };
}

function stateSize(layout: ArenaLayout): number {
  let size = 0;
  for (const tensor of layout.tensors) {
    if (tensor.size === 0) continue;
    for (const shape of Object.values(momentShapes(computedShape(tensor)))) size += elementCount(shape);
  }
  return size;
}
