/** Causal self-attention over a whole batch, from standard ops: what training, evaluation and prefill use. */
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { Attend } from './causalLm';

/** Added to the scores of what a token must not see. Large, yet score + mask stays finite in float32. */
export const MASKED = -1e30;

/** Where the real tokens of a padded batch of B · T places lie, when only they are computed. */
export interface Packing {
  /** int64 [B · T]: the packed row of each place, or N where it is padding. */
  readonly rowOfPlace: Value;
  /** int64 [N]: the place of each packed row, or B · T where the row only fills up N. */
  readonly placeOfRow: Value;
}

export interface CausalAttentionOptions {
  readonly batch: number;
  readonly length: number;
  /** Absent: the N tokens are the B · T places themselves. */
  readonly packing?: Packing | undefined;
  /** One kernel computes it where that can; backwards it is computed again from what is below. */
  readonly fused?: boolean | undefined;
  /** Applied to the probabilities. */
  readonly dropout?: (probabilities: Value) => Value;
  /** Queries of a block; default: by the length. */
  readonly block?: number;
  /** Told of what is cheaper to compute twice than to keep. */
  readonly computedAgain?: (make: () => Value) => Value;
  /** Sees each layer's keys and values [B, heads, T, headDim] as a cache would hold them. */
  readonly onKeyValue?: (layer: number, key: Value, value: Value) => void;
}

/** c · tanh(x / c); x where there is no bound. */
export function capped(g: Builder, x: Value, bound: number | undefined): Value {
  return bound === undefined ? x : g.mul(g.tanh(g.mul(x, 1 / bound)), bound);
}

/** Up to this length the scores are computed at once: less would be saved than slicing costs. */
const WHOLE = 256;
/** Queries of a block: large enough for a fast product, and no more blocks than this to a sequence. */
const MIN_BLOCK = 256;
const MAX_BLOCKS = 16;

/** Queries `[from, to)` of T, by blocks. @param size default: by the length */
function queryBlocks(length: number, size = blockSize(length)): { from: number; to: number }[] {
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => ({
    from: i * size,
    to: Math.min(length, (i + 1) * size),
  }));
}

function blockSize(length: number): number {
  return length <= WHOLE ? length : Math.max(MIN_BLOCK, Math.ceil(length / MAX_BLOCKS / 64) * 64);
}

/**
 * Batches are padded on the right, so a causal mask is all that real tokens need: padding lies behind them.
 *
 * Attention alone works on the padded batch; with a `packing`, everything else in the model is computed for real tokens
 * only, which for texts of unlike lengths is often half of the work.
 *
 * Long sequences go block by block of queries, each against the keys that it may see (Rabe & Staats 2021), and training
 * computes a block's probabilities again where backward wants them: no tensor grows with the square of the length,
 * neither scores nor masks, and the half that nobody sees is not computed.
 */
export function causalAttention(g: Builder, options: CausalAttentionOptions): Attend {
  const { batch, length, packing, computedAgain = (make: () => Value) => make() } = options;
  const blocks = queryBlocks(length, options.block);
  const isWhole = blocks.length === 1;
  const step = blocks[0]!.to;
  const masks = new Map<string, Value>();
  const falls = new Map<string, Value>();
  /** [1, 1, rows, columns]: row r is token `ahead + r` of those that the columns are. */
  const mask = (rows: number, columns: number, ahead: number, window: number): Value => {
    const name = [rows, columns, ahead, window].join();
    let found = masks.get(name);
    if (!found) {
      const data = new Float32Array(rows * columns);
      for (let i = 0; i < rows; i++) {
        const last = ahead + i;
        for (let j = 0; j < columns; j++) if (j > last || j <= last - window) data[i * columns + j] = MASKED;
      }
      found = g.constant(data, 'float32', [1, 1, rows, columns]);
      masks.set(name, found);
    }
    return found;
  };
  /** [1, heads, 1, columns]: by the distance to the last column. Of a row's own distance softmax takes no notice. */
  const falling = (slopes: Float32Array, columns: number): Value => {
    const name = [slopes.length, columns].join();
    const found =
      falls.get(name) ??
      g.constant(
        Float32Array.from({ length: slopes.length * columns }, (_, i) => {
          const distance = columns - 1 - (i % columns);
          return -slopes[Math.floor(i / columns)]! * distance;
        }),
        'float32',
        [1, slopes.length, 1, columns],
      );
    falls.set(name, found);
    return found;
  };
  const piece = (x: Value, from: number, to: number): Value =>
    from === 0 && to === length ? x : g.slice(x, [2], [from], [to]);

  /** Rows [B · T, heads · headDim] each. */
  const kernel = (parts: readonly Value[], scale: number, heads: number): Value => {
    const width = parts[0]!.shape[1]!;
    const operands = parts.map((part) => g.reshape(part, [batch, length, width]));
    const attributes = { num_heads: heads, unidirectional: 1, scale };
    return g.reshape(g.apply('MultiHeadAttention', operands, attributes), [batch * length, width]);
  };

  return (q, k, v, { layer, scale, window: wanted, softcap, slopes }) => {
    const [tokens, heads, dim] = q.shape as [number, number, number];
    const kvHeads = k.shape[1]!;
    const flat = [q, k, v].map((x) => {
      const rows = g.reshape(x, [tokens, x.shape[1]! * dim]);
      return packing ? g.apply('TakeRows', [rows, packing.rowOfPlace, packing.placeOfRow]) : rows;
    });
    const [query, key, value] = flat.map((x) =>
      g.transpose(g.reshape(x, [batch, length, x.shape[1]! / dim, dim]), [0, 2, 1, 3]),
    ) as [Value, Value, Value];
    // Heads that share keys lie one behind the other: their queries are the rows of one product.
    const together = (x: Value): Value =>
      kvHeads === heads ? x : g.reshape(x, [batch, kvHeads, (heads / kvHeads) * x.shape[2]!, x.shape[3]!]);
    const apart = (x: Value): Value =>
      kvHeads === heads ? x : g.reshape(x, [batch, heads, (x.shape[2]! * kvHeads) / heads, x.shape[3]!]);
    options.onKeyValue?.(layer, key, value);
    const window = Math.min(wanted ?? length, length);

    const attendBlock = (from: number, to: number): Value => {
      // Whole blocks, so that all but the first of a windowed layer have one mask.
      const first = Math.max(0, Math.floor((from - window + 1) / step) * step);
      const parts = [piece(query, from, to), piece(key, first, to), piece(value, first, to)] as const;
      const [rows, keys, values] = isWhole ? parts : g.node('Together', parts).outputs;
      const scores = capped(g, apart(g.fusedMatMul(together(rows!), keys!, { transB: true, alpha: scale })), softcap);
      // Where no window ends in it, all of its rows see what lies in front of the block: the mask is one triangle.
      const [height, ahead] = [to - from, from - first];
      const isSeen = first === 0 && window >= to;
      const hidden = isSeen
        ? g.pad(mask(height, height, 0, length), [0, 0, 0, ahead], [0, 0, 0, 0])
        : mask(height, to - first, ahead, window);
      const probabilities = g.softmax(g.add(slopes ? g.add(scores, falling(slopes, to - first)) : scores, hidden));
      const dropped = options.dropout ? options.dropout(probabilities) : probabilities;
      return apart(g.matMul(together(dropped), values!));
    };
    const isFused =
      options.fused && kvHeads === heads && softcap === undefined && !slopes && window === length && !options.dropout;
    const contexts = blocks.map(({ from, to }) =>
      isWhole && !isFused ? attendBlock(from, to) : computedAgain(() => attendBlock(from, to)),
    );
    const context = g.concat(contexts, 2);
    const written = g.reshape(g.transpose(context, [0, 2, 1, 3]), [batch * length, heads * dim]);
    const joined = isFused ? g.apply('StandsFor', [kernel(flat, scale, heads), written]) : written;
    return packing ? g.apply('TakeRows', [joined, packing.placeOfRow, packing.rowOfPlace]) : joined;
  };
}
