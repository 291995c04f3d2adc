/**
 * Gradients of ZeRO-2 (Rajbhandari et al. 2020): a rank keeps those of its own part of the weights. What it computes of the
 * others has memory while it is computed and until its owner has it: then the bucket is given back.
 */
import type { Part } from '../collectives/collective';
import type { DeviceMemory } from '../engine/deviceMemory';
import { type Engine, type Executable, view } from '../engine/engine';
import { giveBack } from '../engine/pages';
import type { Builder } from '../graph/builder';
import { type Arena, allocateFloats } from './arena';
import type { ArenaMemory } from './arenaMemory';

export class ShardedGradients {
  /** This rank's part, added up over ranks and batches. */
  readonly own: Float32Array;
  readonly #memory: DeviceMemory | undefined;
  /** Of the arena, by where they begin. */
  readonly #held = new Set<number>();
  readonly #adders = new Map<string, Promise<Executable>>();

  /** @param arena of all gradients: addresses, with memory behind some of them */
  constructor(
    private readonly engine: Engine,
    private readonly newBuilder: (name: string) => Builder,
    private readonly arena: Arena,
    private readonly part: Part,
    private readonly buckets: readonly Part[],
    memory: ArenaMemory | undefined,
  ) {
    this.#memory = engine.memory;
    this.own = allocateFloats(part.to - part.from, 'the gradients', memory);
    this.#memory?.reserve(this.own);
  }

  /** Before gradients of these parameters are written. */
  acquire(names: readonly string[]): void {
    const wanted = new Set(names);
    for (const { name, offset, size } of this.arena.layout.tensors) {
      if (!wanted.has(name)) continue;
      for (const bucket of this.buckets) if (offset < bucket.to && offset + size > bucket.from) this.hold(bucket);
    }
  }

  /** Gives a bucket memory of zeros, where it has none. */
  hold({ from, to }: Part): void {
    if (this.#held.has(from)) return;
    this.#held.add(from);
    this.#memory?.reserve(this.arena.data.subarray(from, to));
  }

  /** Takes what of a bucket is this rank's, and gives its memory back. @param isFirst of the step: it replaces what was there */
  async take({ from, to }: Part, isFirst: boolean): Promise<void> {
    const start = Math.max(from, this.part.from);
    const end = Math.min(to, this.part.to);
    if (start < end) {
      const sum = this.own.subarray(start - this.part.from, end - this.part.from);
      await this.#add(sum, this.arena.data.subarray(start, end), isFirst);
    }
    const bucket = this.arena.data.subarray(from, to);
    if (this.#memory) this.#memory.release(bucket);
    else giveBack(bucket);
    this.#held.delete(from);
  }

  async release(): Promise<void> {
    for (const adder of this.#adders.values()) await (await adder).release();
    this.#adders.clear();
    this.#memory?.release(this.own);
  }

  async #add(sum: Float32Array, more: Float32Array, isFirst: boolean): Promise<void> {
    if (!this.#memory) {
      if (isFirst) sum.set(more);
      else for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + more[i]!;
      return;
    }
    const shape = [sum.length];
    const adder = await this.#adder(sum.length, isFirst);
    await adder.run({ sum: view(sum, shape), more: view(more, shape) }, { sum_next: view(sum, shape) });
  }

  #adder(size: number, isFirst: boolean): Promise<Executable> {
    const key = `${isFirst ? 'take' : 'add'}_${size}`;
    let found = this.#adders.get(key);
    if (!found) {
      const g = this.newBuilder(key);
      const more = g.input('more', 'float32', [size]);
      // A copy: a result that is an input would be no node.
      g.output('sum_next', isFirst ? g.mul(more, 1) : g.add(g.input('sum', 'float32', [size]), more));
      found = this.engine.compile(g.graph);
      this.#adders.set(key, found);
    }
    return found;
  }
}
