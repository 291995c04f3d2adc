/** The graphs of decoding, compiled when a shape first comes and kept, for every decoder of one model. */
import type { Engine, Executable } from '../engine/engine';
import type { Builder } from '../graph/builder';
import type { CausalLm } from '../models/causalLm';
import { buildPrefill, buildStep } from './decodeGraph';

export interface KvCacheProgramOptions {
  readonly engine: Engine;
  readonly newBuilder: (name: string) => Builder;
  readonly model: CausalLm;
}

export interface Program {
  readonly executable: Executable;
  /** Masks that the graph is fed ({@link buildStep}). */
  readonly windows: readonly number[];
}

/** Kept at a time; the one not used for longest goes first. */
const MAX_PROGRAMS = 12;

export class KvCachePrograms {
  private readonly programs = new Map<string, Promise<Program>>();

  constructor(readonly options: KvCacheProgramOptions) {}

  /** Whole prompts `[batch, length]`. @throws TuneyardError `engine_failed`, `out_of_memory` */
  prefill(batch: number, length: number): Promise<Program> {
    const { newBuilder, model } = this.options;
    return this.program(`prefill ${batch}x${length}`, () => ({
      graph: buildPrefill(newBuilder('prefill'), model, { batch, length }),
      windows: [],
    }));
  }

  /** A token a row, against a cache of `capacity` tokens. @throws TuneyardError `engine_failed`, `out_of_memory` */
  step(rows: number, capacity: number): Promise<Program> {
    const { newBuilder, model } = this.options;
    return this.program(`step ${rows}x${capacity}`, () => buildStep(newBuilder('step'), model, { rows, capacity }));
  }

  async release(): Promise<void> {
    const all = [...this.programs.values()];
    this.programs.clear();
    for (const program of all) await release(program);
  }

  private program(key: string, build: () => ReturnType<typeof buildStep>): Promise<Program> {
    const program = this.programs.get(key) ?? this.compile(key, build);
    // A map keeps its order of insertion: the first is the one not used for longest.
    this.programs.delete(key);
    this.programs.set(key, program);
    const [oldest] = this.programs.keys();
    if (this.programs.size > MAX_PROGRAMS && oldest !== undefined) {
      void release(this.programs.get(oldest));
      this.programs.delete(oldest);
    }
    return program;
  }

  private async compile(key: string, build: () => ReturnType<typeof buildStep>): Promise<Program> {
    try {
      const { graph, windows } = build();
      return { executable: await this.options.engine.compile(graph), windows };
    } catch (error) {
      this.programs.delete(key);
      throw error;
    }
  }
}

async function release(program: Promise<Program> | undefined): Promise<void> {
  // One that did not compile has told whoever asked for it.
  const compiled = await program?.catch(() => undefined);
  await compiled?.executable.release();
}
