/**
 * One training on several ranks: each computes some of a step's batches, the gradients are added up, and every rank has
 * the same weights again. Losses and gradients are weighted by the supervised tokens of the whole step beforehand, so a
 * sum is all there is to do, whoever holds how many of them.
 *
 * With `zero_stage` 1 (ZeRO, Rajbhandari et al. 2020) each rank keeps the optimizer's moments of one part of the weights
 * only, gets the gradients of that part, updates it and hands it to the others.
 */
import { type Collective, type Part, partsOf } from '../collectives/collective';
import type { GradientNorm } from '../optim/gradientNorm';
import type { Optimizer, OptimizerState } from '../optim/optimizer';
import type { Arena, ArenaLayout } from './arena';
import { type TrainerState, trainerStateSchema } from './trainerState';

export class DataParallel {
  readonly parts: readonly Part[];
  /** What this rank's optimizer updates. */
  readonly part: Part;

  constructor(
    readonly collective: Collective,
    private readonly parameters: Arena,
    private readonly gradients: Arena,
    readonly isSharded: boolean,
  ) {
    const { size } = parameters.layout;
    const { rank, worldSize } = collective;
    this.parts = isSharded
      ? partsOf(size, worldSize)
      : Array.from({ length: worldSize }, () => ({ from: 0, to: size }));
    this.part = this.parts[rank]!;
  }

  get isFirst(): boolean {
    return this.collective.rank === 0;
  }

  /** Those of a list that are this rank's to compute. */
  mine<T>(all: readonly T[]): T[] {
    const { rank, worldSize } = this.collective;
    return all.filter((_, i) => i % worldSize === rank);
  }

  /** The gradients of all ranks added up, as far as {@link part} goes. */
  async reduceGradients(): Promise<void> {
    const { data } = this.gradients;
    if (this.isSharded) await this.collective.sumParts(data, this.parts);
    else await this.collective.sum(data);
  }

  /** Sums over the ranks; the same to the bit on each of them, so that all decide alike. */
  async sum(numbers: readonly number[]): Promise<number[]> {
    if (this.collective.worldSize === 1) return [...numbers];
    const sums = Float64Array.from(numbers);
    await this.collective.sum(sums);
    await this.collective.broadcast(new Uint8Array(sums.buffer));
    return [...sums];
  }

  /** A short text of each rank, in their order. */
  async texts(own: string): Promise<string[]> {
    const { rank, worldSize } = this.collective;
    const all = new Float32Array(worldSize * TEXT_BYTES);
    all.set(Buffer.from(own).subarray(0, TEXT_BYTES), rank * TEXT_BYTES);
    await this.collective.sum(all);
    const text = (at: number) => Buffer.from(all.slice(at * TEXT_BYTES, (at + 1) * TEXT_BYTES));
    return Array.from({ length: worldSize }, (_, i) => text(i).toString().replace(/\0+$/, ''));
  }

  /** The 2-norm of all gradients. @param ofPart that of {@link part} */
  async norm(ofPart: GradientNorm): Promise<number> {
    const norm = await ofPart();
    if (!this.isSharded) return (await this.sum([this.isFirst ? norm : 0]))[0]!;
    return Math.sqrt((await this.sum([norm * norm]))[0]!);
  }

  /** Hands round what each rank has updated. */
  async shareParameters(): Promise<void> {
    if (this.isSharded) await this.collective.gatherParts(this.parameters.data, this.parts);
  }

  /** What the optimizer remembers, whole, on rank 0; nothing on the others. */
  async collectState(state: Optimizer['state']): Promise<OptimizerState[]> {
    if (!this.isSharded) return this.isFirst ? [...state] : [];
    const all: OptimizerState[] = [];
    for (const { name, data } of state) {
      const whole = this.isFirst ? new Float32Array(this.parameters.layout.size) : undefined;
      await this.collective.collect(data, this.parts, whole);
      if (whole) all.push({ name, data: whole });
    }
    return all;
  }

  /**
   * Rank 0's weights, moments and state to every rank.
   * @param whole rank 0's moments, where it has not its own part alone
   */
  async spread(
    state: TrainerState,
    optimizer: Optimizer['state'],
    whole: readonly OptimizerState[],
  ): Promise<TrainerState> {
    if (this.collective.worldSize === 1) return state;
    const text = Buffer.from(JSON.stringify(state));
    const length = new Float32Array([text.length]);
    await this.collective.broadcast(length);
    const bytes = this.isFirst ? text : Buffer.alloc(length[0]!);
    await this.collective.broadcast(bytes);
    const common = trainerStateSchema.parse(JSON.parse(bytes.toString()));
    await this.collective.broadcast(this.parameters.data);
    // They are zero before the first step.
    for (const [i, { data }] of common.step === 0 ? [] : optimizer.entries()) {
      if (this.isSharded) await this.collective.spread(data, this.parts, whole[i]?.data);
      else await this.collective.broadcast(data);
    }
    return common;
  }
}

const TEXT_BYTES = 256;

/** What an element-wise optimizer needs to know of a part of an arena. */
export function layoutOfPart(layout: ArenaLayout, { from, to }: Part): ArenaLayout {
  if (from === 0 && to === layout.size) return layout;
  return { size: to - from, decayed: Math.min(Math.max(layout.decayed - from, 0), to - from), tensors: [] };
}
