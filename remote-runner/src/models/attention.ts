/** Causal self-attention over a whole batch, from standard ops: what training, evaluation and prefill use. */
import type { Builder } from '../graph/builder';
import type { Value } from '../graph/ir';
import type { Attend } from './causalLm';

/** Added to the scores of what a token must not see. Large, yet score + mask stays finite in float32. */
export const MASKED = -1e30;

export interface CausalAttentionOptions {
  /** Applied to the probabilities. */
  dropout?: (probabilities: Value) => Value;
  /** Sees each layer's keys and values [B, heads, T, headDim] as a cache would hold them. */
  onKeyValue?: (layer: number, key: Value, value: Value) => void;
}

/**
 * Batches are padded on the right, so a causal mask is all that real tokens need: padding lies behind them.
 */
export function causalAttention(g: Builder, options: CausalAttentionOptions = {}): Attend {
  const masks = new Map<number, Value>();
  const mask = (length: number, window: number): Value => {
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
    const [batch, length, heads, dim] = q.shape as [number, number, number, number];
    const [query, key, value] = [q, k, v].map((x) => g.transpose(x, [0, 2, 1, 3])) as [Value, Value, Value];
    options.onKeyValue?.(layer, key, value);
    const scores = g.fusedMatMul(query, key, { transB: true, alpha: scale });
    const masked = g.add(scores, mask(length, Math.min(window ?? length, length)));
    const probabilities = g.softmax(masked);
    const context = g.matMul(options.dropout ? options.dropout(probabilities) : probabilities, value);
    return g.reshape(g.transpose(context, [0, 2, 1, 3]), [batch, length, heads * dim]);
  };
}
