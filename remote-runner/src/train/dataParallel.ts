/**
 * One training on several ranks: each computes some of a step's batches, the gradients are added up, and every rank has
 * the same weights again. Losses and gradients are weighted by the supervised tokens of the whole step beforehand, so a
 * sum is all there is to do, whoever holds how many of them.
 *
 * With `zero_stage` 1 (ZeRO, Rajbhandari et al. 2020) each rank keeps the optimizer's moments of one part of the weights
 * only, gets the gradients of that part, updates it and hands it to the others.
 */

import { type ArenaExchange, type Collective, type Part, partsOf } from '../collectives/collective';
import type { DeviceMemory } from '../engine/deviceMemory';
import type { GradientNorm } from '../optim/gradientNorm';
import type { Optimizer, OptimizerState } from '../optim/optimizer';
import type { Arena, ArenaLayout } from './arena';
import type { ShardedGradients } from './shardedGradients';
import { type TrainerState, trainerStateSchema } from './trainerState';

/** Floats of gradients that are exchanged at once: 25 MB, as torch's DistributedDataParallel has it. */
const BUCKET = 25 * 2 ** 18;

interface Bucket extends Part {
  readonly tensors: readonly string[];
}

/**
 * Pieces of an arena, whole tensors each, in the order in which a backward pass completes them: weights from the last to
 * the first, which is the embedding, then what does not decay, biases and norms of all layers.
 *
 * @param least floats, but for the last piece of either kind
 */
export function bucketsOf({ size, decayed, tensors }: ArenaLayout, least = BUCKET): Bucket[] {
  const buckets: Bucket[] = [];
  const cover = (start: number, end: number) => {
    let names: string[] = [];
    let to = end;
    for (const { name, offset } of tensors.filter(({ offset }) => offset >= start && offset < end).reverse()) {
      names = [name, ...names];
      if (to - offset < least && offset > start) continue;
      buckets.push({ from: offset, to, tensors: names });
      [names, to] = [[], offset];
    }
  };
  cover(0, decayed);
  cover(decayed, size);
  return buckets;
}

export class DataParallel {
  readonly parts: readonly Part[];
  readonly buckets: readonly Bucket[];
  readonly #complete = new Set<string>();
  /** The first bucket that is not on its way yet. */
  #next = 0;
  private sending: Promise<void> = Promise.resolve();
  #sharded: ShardedGradients | undefined;
  /** Exchanges of gradients since the step began. */
  #rounds = 0;
  /** What this rank's optimizer updates. */
  readonly part: Part;

  constructor(
    readonly collective: Collective,
    private readonly parameters: Arena,
    private readonly gradients: Arena,
    readonly isSharded: boolean,
    /** Where weights, gradients and moments are, if not on the host. */
    private readonly memory?: DeviceMemory,
    private readonly exchange: ArenaExchange = collective,
  ) {
    const { size } = parameters.layout;
    const { rank, worldSize } = collective;
    this.parts = isSharded
      ? partsOf(size, worldSize)
      : Array.from({ length: worldSize }, () => ({ from: 0, to: size }));
    this.part = this.parts[rank]!;
    this.buckets = worldSize > 1 ? bucketsOf(gradients.layout) : [];
  }

  get isFirst(): boolean {
    return this.collective.rank === 0;
  }

  /** From now on each rank keeps the gradients of its own part alone (ZeRO-2). */
  keepOwnGradients(sharded: ShardedGradients): void {
    this.#sharded = sharded;
  }

  /** Before gradients of these parameters are written. */
  gradientsBegin(names: readonly string[]): void {
    this.#sharded?.acquire(names);
  }

  /**
   * This rank's batches of a step, by what is computed between two exchanges of gradients; as many on every rank.
   * @param total batches of all ranks
   */
  rounds<T>(mine: readonly T[], total: number): (readonly T[])[] {
    this.#rounds = 0;
    if (!this.#sharded) return [mine];
    const count = Math.ceil(total / this.collective.worldSize);
    return Array.from({ length: count }, (_, round) => mine.slice(round, round + 1));
  }

  /** Those of a list that are this rank's to compute. */
  mine<T>(all: readonly T[]): T[] {
    const { rank, worldSize } = this.collective;
    return all.filter((_, i) => i % worldSize === rank);
  }

  /** The gradients of all ranks added up, as far as {@link part} goes. */
  async reduceGradients(): Promise<void> {
    this.send(this.buckets.length);
    this.#rounds++;
    const sent = this.sending;
    this.#complete.clear();
    this.#next = 0;
    this.sending = Promise.resolve();
    await sent;
  }

  /** This rank has computed none: they are zeros. @param clear makes them so, where they have memory */
  noGradients(clear: () => void): void {
    if (!this.#sharded) clear();
  }

  /** Gradients that this rank adds nothing to any more: buckets of them are exchanged while others are computed. */
  gradientsComplete(names: readonly string[]): void {
    if (this.collective.worldSize === 1) return;
    for (const name of names) this.#complete.add(name);
    // In the same order on every rank.
    let end = this.#next;
    while (end < this.buckets.length && this.buckets[end]!.tensors.every((name) => this.#complete.has(name))) end++;
    this.send(end);
  }

  private send(end: number): void {
    const isFirst = this.#rounds === 0;
    for (const bucket of this.buckets.slice(this.#next, end)) {
      this.sending = this.sending.then(() => this.exchangeBucket(bucket, isFirst));
    }
    this.#next = Math.max(this.#next, end);
    // It is thrown where it is waited for.
    this.sending.catch(() => {});
  }

  private async exchangeBucket({ from, to }: Part, isFirst: boolean): Promise<void> {
    // A rank that computed nothing has zeros.
    this.#sharded?.hold({ from, to });
    await this.exchangeRange(from, to);
    await this.#sharded?.take({ from, to }, isFirst);
  }

  private async exchangeRange(from: number, to: number): Promise<void> {
    const data = this.gradients.data.subarray(from, to);
    if (!this.isSharded) return this.exchange.sum(data);
    const within = (at: number) => Math.min(Math.max(at, from), to) - from;
    await this.exchange.sumParts(
      data,
      this.parts.map((part) => ({ from: within(part.from), to: within(part.to) })),
    );
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
    if (this.isSharded) await this.exchange.gatherParts(this.parameters.data, this.parts);
  }

  /** What the optimizer remembers, whole, on rank 0; nothing on the others. */
  async collectState(state: Optimizer['state']): Promise<OptimizerState[]> {
    await this.memory?.download(...state.map(({ data }) => data));
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
  const within = (at: number) => Math.min(Math.max(at - from, 0), to - from);
  return {
    size: to - from,
    decayed: within(layout.decayed),
    rates: layout.rates
      .map((range) => ({ ...range, from: within(range.from), to: within(range.to) }))
      .filter((range) => range.to > range.from),
    tensors: [],
  };
}
