/**
 * Weights and gradients that are in the host's memory, and on the device only while something is computed with them: a
 * model is then trained on a GPU that holds one of its layers (ZeRO-Infinity, Rajbhandari et al. 2021).
 */
import type { DeviceMemory } from '../engine/deviceMemory';
import { layOut, Workspace } from '../engine/workspace';
import type { Arena, ParameterSet } from './arena';

/** Names of parameters. */
export interface Use {
  readonly reads: readonly string[];
  /** Their gradients are written. */
  readonly writes: readonly string[];
  /** Gradients are added to what there is, or written in part; else what there was is void. */
  readonly adds: boolean;
}

export class WeightStream {
  /** One use after the other has its tensors here. */
  readonly #window: Workspace;

  constructor(
    private readonly memory: DeviceMemory,
    private readonly parameters: ParameterSet,
    private readonly gradients: Arena,
  ) {
    this.#window = new Workspace(memory);
  }

  /** Has room for a use, before the first of a step. @throws TuneyardError `out_of_memory` */
  reserve(use: Use): void {
    this.#window.reserve(layOut(this.#tensors(use)).bytes, true);
  }

  /** Calls `compute` while what it uses is on the device; gradients are on the host again afterwards. */
  async during<T>(use: Use, compute: () => Promise<T>): Promise<T> {
    this.reserve(use);
    const tensors = this.#tensors(use);
    const { offsets } = layOut(tensors);
    const lent: Float32Array[] = [];
    try {
      for (const [data, type] of tensors) {
        this.memory.lend(data, this.#window.slice(offsets.get(data)!, type));
        lent.push(data);
      }
      const written = use.writes.map((name) => this.gradients.slice(name));
      await this.memory.upload(...use.reads.map((name) => this.parameters.slice(name)), ...(use.adds ? written : []));
      const result = await compute();
      await this.memory.download(...written);
      return result;
    } finally {
      for (const data of lent) this.memory.release(data);
    }
  }

  release(): void {
    this.#window.release();
  }

  #tensors({ reads, writes }: Use) {
    const arrays = [
      ...reads.map((name) => this.parameters.slice(name)),
      ...writes.map((name) => this.gradients.slice(name)),
    ];
    return new Map(arrays.map((data) => [data, { dtype: 'float32', shape: [data.length] } as const]));
  }
}
