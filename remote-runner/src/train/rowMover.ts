/**
 * Rows between tensors: what goes into the head and comes back from it, and gradients of embeddings. On the host they are
 * loops; where tensors stay on a device they are graphs, so that nothing of their size crosses the bus.
 */
import type { DeviceMemory } from '../engine/deviceMemory';
import { type Engine, type Executable, type TensorView, view } from '../engine/engine';
import type { Builder } from '../graph/builder';
import { addRows } from './rowSparse';

export interface RowMover {
  /** `into` [K, C] becomes the given rows of `from` [R, C], with zeros behind them. */
  take(from: TensorView, rows: Int32Array, into: TensorView): Promise<void>;
  /**
   * Puts the first of `from` [K, C] into the given rows of `into` [R, C], which hold zeros so far.
   * @param isFirst everything else of `into` becomes zero
   */
  put(from: TensorView, rows: Int32Array, into: TensorView, isFirst: boolean): Promise<void>;
  /** Adds `rows` [K, C] to those rows of `into` [R, C] that `indices` [K] names; they repeat. */
  add(into: TensorView, indices: TensorView, rows: TensorView): Promise<void>;
  clear(tensor: TensorView): void;
  release(): Promise<void>;
}

export function createRowMover(engine: Engine, newBuilder: (name: string) => Builder): RowMover {
  return engine.memory ? new GraphRows(engine, engine.memory, newBuilder) : HOST_ROWS;
}

const numbers = ({ data }: TensorView) => data as Float32Array;
const width = ({ shape }: TensorView) => shape[1]!;

const HOST_ROWS: RowMover = {
  async take(from, rows, into) {
    const [source, target, size] = [numbers(from), numbers(into), width(from)];
    rows.forEach((row, i) => {
      target.set(source.subarray(row * size, (row + 1) * size), i * size);
    });
    target.fill(0, rows.length * size);
  },
  async put(from, rows, into, isFirst) {
    const [source, target, size] = [numbers(from), numbers(into), width(from)];
    if (isFirst) target.fill(0);
    rows.forEach((row, i) => {
      target.set(source.subarray(i * size, (i + 1) * size), row * size);
    });
  },
  async add(into, indices, rows) {
    addRows(numbers(into), indices.data as BigInt64Array, numbers(rows), width(rows));
  },
  clear({ data }) {
    numbers({ data } as TensorView).fill(0);
  },
  async release() {},
};

class GraphRows implements RowMover {
  readonly #executables = new Map<string, Promise<Executable>>();

  constructor(
    private readonly engine: Engine,
    private readonly memory: DeviceMemory,
    private readonly newBuilder: (name: string) => Builder,
  ) {}

  async take(from: TensorView, rows: Int32Array, into: TensorView): Promise<void> {
    const { index, inverse } = places(rows, into.shape[0]!, from.shape[0]!);
    const graph = await this.#graph(`take ${from.shape} ${into.shape}`, (g) => {
      const x = g.input('x', 'float32', from.shape);
      g.output('y', g.apply('TakeRows', [x, indexInput(g, 'index', index), indexInput(g, 'inverse', inverse)]));
    });
    await graph.run({ x: from, index, inverse }, { y: into });
  }

  async put(from: TensorView, rows: Int32Array, into: TensorView, isFirst: boolean): Promise<void> {
    const { index, inverse } = places(rows, from.shape[0]!, into.shape[0]!);
    const graph = await this.#graph(`put ${from.shape} ${into.shape} ${isFirst}`, (g) => {
      const x = g.input('x', 'float32', from.shape);
      const put = g.apply('TakeRows', [x, indexInput(g, 'inverse', inverse), indexInput(g, 'index', index)]);
      g.output('y', isFirst ? put : g.add(g.input('so_far', 'float32', into.shape), put));
    });
    await graph.run({ x: from, index, inverse, so_far: into }, { y: into });
  }

  async add(into: TensorView, indices: TensorView, rows: TensorView): Promise<void> {
    const graph = await this.#graph(`add ${rows.shape} ${into.shape}`, (g) => {
      const x = g.input('x', 'float32', into.shape);
      const added = g.input('rows', 'float32', rows.shape);
      const at = g.reshape(g.input('indices', 'int64', indices.shape), [indices.shape[0]!, 1]);
      // The CPU's ScatterND loses sums where rows repeat and threads race; a GPU's adds atomically.
      const y =
        this.memory.raw.name === 'Cuda'
          ? g.apply('ScatterND', [x, at, added], { reduction: 'add' })
          : g.scatterAdd(x, g.expand(at, rows.shape), added, 0);
      g.output('y', y);
    });
    await graph.run({ x: into, rows, indices }, { y: into });
  }

  clear({ data }: TensorView): void {
    this.memory.clear(data);
  }

  async release(): Promise<void> {
    const all = [...this.#executables.values()];
    this.#executables.clear();
    for (const executable of all) await (await executable).release();
  }

  #graph(name: string, write: (g: Builder) => void): Promise<Executable> {
    let found = this.#executables.get(name);
    if (!found) {
      const g = this.newBuilder(name.replaceAll(/\W/g, '_'));
      write(g);
      found = this.engine.compile(g.graph);
      this.#executables.set(name, found);
    }
    return found;
  }
}

const indexInput = (g: Builder, name: string, { shape }: TensorView) => g.input(name, 'int64', shape);

/** As TakeRows wants them: which of `of` rows each of `size` is, or none; and the other way round. */
function places(rows: Int32Array, size: number, of: number) {
  const index = new BigInt64Array(size).fill(BigInt(of));
  const inverse = new BigInt64Array(of).fill(BigInt(size));
  rows.forEach((row, i) => {
    index[i] = BigInt(row);
    inverse[row] = BigInt(i);
  });
  return { index: view(index, [size]), inverse: view(inverse, [of]) };
}
