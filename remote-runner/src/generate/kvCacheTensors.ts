/**
 * Keys and values of what some rows have read so far, in host memory that the step graph takes as it lies:
 * `[rows, kvHeads, capacity, headDim]`, a tensor for the keys and one for the values of each layer. Of each row the
 * first `lengths[row]` tokens count; behind them lies what earlier rows left, which the masks hide.
 */
import { type TensorView, type TensorViews, view } from '../engine/engine';
import { MASKED } from '../models/attention';
import type { CausalLm } from '../models/causalLm';
import { DECODE } from './decodeGraph';

export type CacheShape = Pick<CausalLm, 'layers' | 'kvHeads' | 'headDim'>;

/** Keys and values that a graph computed: for each layer `[batch, kvHeads, length, headDim]`. */
export interface NewKeyValues {
  readonly length: number;
  /** By the names of the graph's outputs. */
  readonly views: TensorViews;
}

/** Memory for what a graph outputs. */
export function newKeyValues({ layers, kvHeads, headDim }: CacheShape, batch: number, length: number): NewKeyValues {
  const views: Record<string, TensorView> = {};
  for (let layer = 0; layer < layers; layer++) {
    for (const name of [DECODE.key(layer), DECODE.value(layer)]) {
      views[name] = emptyView([batch, kvHeads, length, headDim]);
    }
  }
  return { length, views };
}

/** One of the cache's tensors: where it is fed, and which of the graph's outputs goes into it. */
interface Slot {
  readonly input: string;
  readonly output: string;
  view: TensorView;
}

export class KvCacheTensors {
  /** `[rows]`: tokens in the cache. */
  readonly lengths: Int32Array;
  private slots: readonly Slot[];
  private scratch = new Float32Array(0);

  constructor(
    private readonly shape: CacheShape,
    readonly rows: number,
    /** Tokens that each row has room for. */
    public capacity: number,
  ) {
    this.lengths = new Int32Array(rows);
    const tensor = () => emptyView([rows, shape.kvHeads, capacity, shape.headDim]);
    this.slots = Array.from({ length: shape.layers }, (_, layer) => [
      { input: DECODE.pastKey(layer), output: DECODE.key(layer), view: tensor() },
      { input: DECODE.pastValue(layer), output: DECODE.value(layer), view: tensor() },
    ]).flat();
  }

  /** The tensors by the step graph's input names. They are others after {@link grow}. */
  get views(): TensorViews {
    return Object.fromEntries(this.slots.map(({ input, view }) => [input, view]));
  }

  /** Adds the first `count` of the new tokens of entry `from` of a batch to what a row holds. */
  append(row: number, { views, length }: NewKeyValues, from: number, count: number): void {
    const { headDim } = this.shape;
    const at = this.lengths[row]!;
    for (const { output, view } of this.slots) {
      const [into, source] = [floats(view), floats(views[output]!)];
      this.eachHead((head, heads) => {
        const begin = (from * heads + head) * length * headDim;
        const target = ((row * heads + head) * this.capacity + at) * headDim;
        into.set(source.subarray(begin, begin + count * headDim), target);
      });
    }
    this.lengths[row] = at + count;
  }

  /** Row i becomes a copy of what row `source[i]` was before the call. */
  reorder(source: Int32Array): void {
    const lengths = this.lengths.slice();
    // A row that is itself overwritten must be kept aside as long as others want to become copies of it.
    const asides = [...new Set(source)].filter((from) => source[from] !== from);
    const rowSize = this.shape.kvHeads * this.capacity * this.shape.headDim;
    if (this.scratch.length < asides.length * rowSize) this.scratch = new Float32Array(asides.length * rowSize);
    for (const { view } of this.slots) {
      const data = floats(view);
      for (const [i, from] of asides.entries()) this.copyRow(data, from, this.scratch, i, lengths[from]!);
      for (const [row, from] of source.entries()) {
        if (from === row) continue;
        const aside = asides.indexOf(from);
        this.copyRow(aside < 0 ? data : this.scratch, aside < 0 ? from : aside, data, row, lengths[from]!);
      }
    }
    for (const [row, from] of source.entries()) this.lengths[row] = lengths[from]!;
  }

  /** Makes room for `capacity` tokens a row. */
  grow(capacity: number): void {
    const { kvHeads, headDim } = this.shape;
    const before = this.capacity;
    for (const slot of this.slots) {
      const grown = emptyView([this.rows, kvHeads, capacity, headDim]);
      const [from, into] = [floats(slot.view), floats(grown)];
      for (let row = 0; row < this.rows; row++) {
        this.eachHead((head, heads) => {
          const at = row * heads + head;
          const begin = at * before * headDim;
          into.set(from.subarray(begin, begin + this.lengths[row]! * headDim), at * capacity * headDim);
        });
      }
      slot.view = grown;
    }
    this.capacity = capacity;
    this.scratch = new Float32Array(0);
  }

  /**
   * What a new token must not see of the cache.
   * @param window tokens that it sees, itself included
   * @param into `[rows, capacity]`: 0 or {@link MASKED}
   */
  fillMask(window: number, into: Float32Array): void {
    for (const [row, length] of this.lengths.entries()) {
      const begin = row * this.capacity;
      into.fill(MASKED, begin, begin + this.capacity);
      into.fill(0, begin + Math.max(0, length + 1 - window), begin + length);
    }
  }

  private copyRow(from: Float32Array, fromRow: number, into: Float32Array, intoRow: number, length: number): void {
    this.eachHead((head, heads) => {
      const size = this.capacity * this.shape.headDim;
      const begin = (fromRow * heads + head) * size;
      const target = (intoRow * heads + head) * size;
      const count = length * this.shape.headDim;
      if (from === into) into.copyWithin(target, begin, begin + count);
      else into.set(from.subarray(begin, begin + count), target);
    });
  }

  private eachHead(visit: (head: number, heads: number) => void): void {
    const heads = this.shape.kvHeads;
    for (let head = 0; head < heads; head++) visit(head, heads);
  }
}

export function emptyView(shape: readonly number[]): TensorView {
  return view(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
}

function floats(tensor: TensorView): Float32Array {
  return tensor.data as Float32Array;
}
