/**
 * Indexes of the k largest values, largest first; of equal values the one with the lower index comes first.
 * One pass with a heap of k entries: O(n + k log² k) in practice, where a sort of a whole vocabulary would cost
 * more than a small model's step.
 *
 * @param values none is NaN
 * @returns `min(k, values.length)` indexes
 */
export function topK(values: Float32Array, k: number): Int32Array {
  const size = Math.min(k, values.length);
  const heap = new Int32Array(size);
  if (size === 0) return heap;
  const isWorse = (a: number, b: number) => values[a]! < values[b]! || (values[a] === values[b] && a > b);

  // The root is the worst of those kept.
  const sink = (start: number) => {
    let at = start;
    for (;;) {
      let worst = at;
      const left = 2 * at + 1;
      const right = left + 1;
      if (left < size && isWorse(heap[left]!, heap[worst]!)) worst = left;
      if (right < size && isWorse(heap[right]!, heap[worst]!)) worst = right;
      if (worst === at) return;
      const moved = heap[at]!;
      heap[at] = heap[worst]!;
      heap[worst] = moved;
      at = worst;
    }
  };

  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i);
  let floor = values[heap[0]!]!;
  for (let i = size; i < values.length; i++) {
    // An equal value further right is worse than the root, so it never replaces it.
    if (values[i]! > floor) {
      heap[0] = i;
      sink(0);
      floor = values[heap[0]!]!;
    }
  }
  return heap.sort((a, b) => values[b]! - values[a]! || a - b);
}
