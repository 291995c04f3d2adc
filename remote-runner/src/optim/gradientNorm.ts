/**
 * The global 2-norm of a flat buffer. ONNX Runtime sums the squares of each row of 1,024 floats; the rows' sums are
 * added up in double precision. Each row is summed by one thread and the rows in their order: the same buffer gives the
 * same norm, bit for bit, whatever the number of threads. In an {@link ArenaMemory} a kernel does the same in one pass.
 */
import { type Engine, type Executable, type TensorView, view } from '../engine/engine';
import type { Builder } from '../graph/builder';
import { ArenaMemory } from '../train/arenaMemory';

const ROW = 1024;
const CHUNK_ROWS = 256;
/** On a GPU starting an op costs more than caches save. */
const DEVICE_CHUNK_ROWS = 2 ** 14;
/** Floats. */
const KERNEL_MULTIPLE = 16;

export interface GradientNormContext {
  readonly engine: Engine;
  readonly newBuilder: (name: string) => Builder;
  /** Of any length; read at each call. */
  readonly gradients: Float32Array;
}

export interface GradientNorm {
  /**
   * The norm of the buffer as it is now. NaN where it holds one; infinite where it holds an infinity, or where squares
   * leave float32.
   *
   * @throws TuneyardError `engine_failed`, `out_of_memory`
   */
  (): Promise<number>;
  release(): Promise<void>;
}

interface ChunkRun {
  readonly executable: Executable;
  readonly inputs: { readonly x: TensorView };
  readonly outputs: { readonly sums: TensorView };
}

/** @throws TuneyardError `engine_failed`, `out_of_memory` */
export async function createGradientNorm({
  engine,
  newBuilder,
  gradients,
}: GradientNormContext): Promise<GradientNorm> {
  const kernels = ArenaMemory.of(gradients)?.kernels;
  if (kernels && gradients.length % KERNEL_MULTIPLE === 0) {
    const { byteOffset, byteLength } = gradients;
    return Object.assign(async () => Math.sqrt(kernels.squares(byteOffset, byteLength)), { release: async () => {} });
  }
  const sums = new Float32Array(Math.ceil(gradients.length / ROW));
  const runs: ChunkRun[] = [];
  const executables: Executable[] = [];

  /** Plans the runs over rows `[start, end)` of the buffer, `height` at a time. */
  const cover = async (start: number, end: number, height: number, width: number) => {
    if (start === end) return;
    const g = newBuilder(`norm_${height}x${width}`);
    const x = g.input('x', 'float32', [height, width]);
    g.output('sums', g.reduceSum(g.square(x), [1]));
    const executable = await engine.compile(g.graph);
    executables.push(executable);
    for (let row = start; row < end; row += height) {
      const data = gradients.subarray(row * ROW, row * ROW + height * width);
      const rowSums = view(sums.subarray(row, row + height), [height]);
      runs.push({ executable, inputs: { x: view(data, [height, width]) }, outputs: { sums: rowSums } });
    }
  };
  const release = async () => {
    runs.length = 0;
    for (const executable of executables.splice(0)) await executable.release();
  };

  const rows = Math.floor(gradients.length / ROW);
  const chunkRows = engine.memory ? DEVICE_CHUNK_ROWS : CHUNK_ROWS;
  const chunked = rows - (rows % chunkRows);
  try {
    await cover(0, chunked, chunkRows, ROW);
    await cover(chunked, rows, rows % chunkRows, ROW);
    // What lies behind the last whole row is a shorter one.
    await cover(rows, sums.length, 1, gradients.length % ROW);
  } catch (error) {
    await release();
    throw error;
  }

  const measure = async () => {
    for (const { executable, inputs, outputs } of runs) await executable.run(inputs, outputs);
    let total = 0;
    for (const sum of sums) total += sum;
    return Math.sqrt(total);
  };
  return Object.assign(measure, { release });
}
