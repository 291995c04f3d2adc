/** An engine that takes down what each graph costs. */
import type { Engine, Executable } from '@runner/engine/engine';
import type { Graph } from '@runner/graph/ir';
import { productFlops } from './flops';

export interface GraphTimes {
  seconds: number;
  runs: number;
  flops: number;
}

export class TimedEngine implements Engine {
  readonly label: string;
  readonly runtime: string;
  /** By graph name, since the last {@link reset}. */
  readonly times = new Map<string, GraphTimes>();
  /** Seconds spent compiling, in all. */
  compileSeconds = 0;

  constructor(private readonly inner: Engine) {
    this.label = inner.label;
    this.runtime = inner.runtime;
  }

  reset(): void {
    this.times.clear();
  }

  async compile(graph: Graph): Promise<Executable> {
    const started = performance.now();
    const executable = await this.inner.compile(graph);
    this.compileSeconds += (performance.now() - started) / 1000;
    const flops = productFlops(executable.graph);
    return {
      graph: executable.graph,
      release: () => executable.release(),
      run: async (inputs, outputs, signal) => {
        const begin = performance.now();
        await executable.run(inputs, outputs, signal);
        const entry = this.times.get(graph.name) ?? { seconds: 0, runs: 0, flops: 0 };
        entry.seconds += (performance.now() - begin) / 1000;
        entry.runs++;
        entry.flops += flops;
        this.times.set(graph.name, entry);
      },
    };
  }
}
