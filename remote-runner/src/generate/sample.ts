/** Greedy decoding and sampling: one token a row and step, rows independent of each other. */
import {
  breathe,
  cacheCapacity,
  type DecodedRow,
  type DecodeRequest,
  type FinishReason,
  maxScore,
  type RandomSource,
  recycleFullRows,
  scoresOf,
} from './decodeRequest';
import type { Decoder } from './decoder';
import type { LogitsProcessor } from './logits';

export interface SampleOptions {
  /** Draw (true) or take the likeliest (false). */
  doSample: boolean;
  processors: readonly LogitsProcessor[];
  eosTokenIds: readonly number[];
  signal?: AbortSignal | undefined;
  /** Called with each new token but the end-of-sequence one; true ends the row with reason `stop`. */
  onToken?: (index: number, token: number) => boolean;
  /** Called as soon as a row is finished, while others go on. */
  onFinish?: (index: number, row: DecodedRow) => void;
}

/**
 * Continues every request until each is finished.
 * @returns a row a request, in their order
 * @throws TuneyardError `cancelled`, `not_finite`
 */
export async function sampleTokens(
  decoder: Decoder,
  requests: readonly DecodeRequest[],
  options: SampleOptions,
): Promise<DecodedRow[]> {
  const started = performance.now();
  const capacity = cacheCapacity(requests);
  const eos = new Set(options.eosTokenIds);
  const histories = requests.map(({ ids, maxNewTokens }) => {
    const history = new Int32Array(ids.length + maxNewTokens);
    history.set(ids);
    return history;
  });
  const lengths = requests.map(({ ids }) => ids.length);
  const finished = new Map<number, DecodedRow>();
  const isOpen = (row: number) => !finished.has(row);
  const finish = (row: number, finishReason: FinishReason) => {
    const ids = histories[row]!.slice(requests[row]!.ids.length, lengths[row]!);
    const result = { ids, finishReason, seconds: (performance.now() - started) / 1000 };
    finished.set(row, result);
    options.onFinish?.(row, result);
  };

  await breathe(options.signal);
  const state = await decoder.prefill(
    requests.map(({ ids }) => ids),
    1,
    capacity,
  );
  try {
    const next = new Int32Array(state.rows);
    for (;;) {
      for (const [row, request] of requests.entries()) {
        if (!isOpen(row)) continue;
        const scores = scoresOf(decoder, state.logits, row);
        const history = histories[row]!;
        for (const process of options.processors) process(history.subarray(0, lengths[row]!), scores);
        const token = options.doSample ? drawToken(scores, request.random) : likeliestToken(scores);
        if (token === undefined) {
          finish(row, 'exhausted');
          continue;
        }
        history[lengths[row]!++] = token;
        next[row] = token;
        if (eos.has(token)) finish(row, 'eos');
        else if (options.onToken?.(row, token)) finish(row, 'stop');
        else if (lengths[row]! === history.length) finish(row, 'length');
      }
      if (finished.size === requests.length) break;
      await breathe(options.signal);
      const source = Int32Array.from(next.keys());
      if (recycleFullRows(source, state.lengths, capacity, isOpen)) await state.reorder(source);
      await state.step(next);
    }
  } finally {
    state.release();
  }
  return requests.map((_, row) => finished.get(row)!);
}

/** The token with the highest score, of equal ones the first; undefined where all are −Infinity. */
export function likeliestToken(scores: Float32Array): number | undefined {
  const max = maxScore(scores);
  return max === Number.NEGATIVE_INFINITY ? undefined : scores.indexOf(max);
}

/**
 * A token drawn from softmax(scores): inverse of the cumulative distribution, in float64, one number of `random` a
 * token. Undefined where all scores are −Infinity.
 */
export function drawToken(scores: Float32Array, random: RandomSource): number | undefined {
  const max = maxScore(scores);
  if (max === Number.NEGATIVE_INFINITY) return undefined;
  let total = 0;
  for (const score of scores) total += Math.exp(score - max);
  const target = random.nextFloat() * total;
  let mass = 0;
  let last: number | undefined;
  for (let token = 0; token < scores.length; token++) {
    const weight = Math.exp(scores[token]! - max);
    if (weight === 0) continue;
    mass += weight;
    last = token;
    if (mass > target) break;
  }
  return last;
}
