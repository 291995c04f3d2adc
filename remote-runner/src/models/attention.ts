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
  /** Applied to the probabilities. */
  readonly dropout?: (probabilities: Value) => Value;
  /** Sees each layer's keys and values [B, heads, T, headDim] as a cache would hold them. */
  readonly onKeyValue?: (layer: number, key: Value, value: Value) => void;
}

/**
 * Batches are padded on the right, so a causal mask is all that real tokens need: padding lies behind them.
 *
 * Attention alone works on the padded batch; with a `packing`, everything else in the model is computed for real tokens
 * only, which for texts of unlike lengths is often half of the work.
 */
export function causalAttention(g: Builder, options: CausalAttentionOptions): Attend {
  const { batch, length, packing } = options;
  const masks = new Map<number, Value>();
  const mask = (window: number): Value => {
    let found = masks.get(window);
    if (!found) {
      const data = new Float32Array(length * length);
      for (let i = 0; i < length; i++) {
        for (let j = 0; j < length; j++) if (j > i || j <= i - window) data[i * length + j] = MASKED;
      }
      found = g.constant(data, 'float32', [1, 1, length, length]);
      masks.set(window, found);
    }
    return found;
  };
  return (q, k, v, { layer, scale, window }) => {
    const [tokens, heads, dim] = q.shape as [number, number, number];
    const [query, key, value] = [q, k, v].map((x) => {
      const flat = packing
        ? g.apply('TakeRows', [g.reshape(x, [tokens, heads * dim]), packing.rowOfPlace, packing.placeOfRow])
        : x;
      return g.transpose(g.reshape(flat, [batch, length, heads, dim]), [0, 2, 1, 3]);
    }) as [Value, Value, Value];
    options.onKeyValue?.(layer, key, value);
    const scores = g.fusedMatMul(query, key, { transB: true, alpha: scale });
    const masked = g.add(scores, mask(Math.min(window ?? length, length)));
    const probabilities = g.softmax(masked);
    const context = g.matMul(options.dropout ? options.dropout(probabilities) : probabilities, value);
    const joined = g.reshape(g.transpose(context, [0, 2, 1, 3]), [batch * length, heads * dim]);
    return packing ? g.apply('TakeRows', [joined, packing.placeOfRow, packing.rowOfPlace]) : joined;
  };
}
