import { setImmediate } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import type { Decoder } from './decoder';

/** Draws of one prompt; {@link Random} is one. */
export interface RandomSource {
  /** Uniform in [0, 1). */
  nextFloat(): number;
}

/** One prompt to go on with. */
export interface DecodeRequest {
  /** The prompt's token ids, at least one. */
  ids: Int32Array;
  /** Tokens to write at most, at least one; with the prompt they fit into the model's positions. */
  maxNewTokens: number;
  random: RandomSource;
}

/**
 * Why a text ended: its end-of-sequence token; `max_new_tokens` or the model's positions used up; a stop string; or
 * no token that is still allowed (every one would repeat an n-gram).
 */
export type FinishReason = 'eos' | 'length' | 'stop' | 'exhausted';

export interface DecodedRow {
  /** New tokens, the end-of-sequence token included, as transformers returns them. */
  ids: Int32Array;
  finishReason: FinishReason;
  /** Wall time from the batch's prefill until this row was finished. */
  seconds: number;
}

/** Tokens a row's cache must hold for the longest of the requests. */
export function cacheCapacity(requests: readonly DecodeRequest[]): number {
  return Math.max(...requests.map((request) => request.ids.length + request.maxNewTokens));
}

/**
 * To be awaited between two steps: lets signals, timers and sockets in (the engine's run blocks the event loop, and
 * without this a cancellation would be seen only when all is done).
 * @throws TuneyardError `cancelled`
 */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  if (signal?.aborted) throw new TuneyardError('cancelled', 'Text generation was cancelled.', { cause: signal.reason });
}

/**
 * A finished row goes on taking part in every step. Where its cache is full, it must become a copy of an open row,
 * whose cache always has room.
 *
 * @param source `[rows]`, where each row comes from; changed in place
 * @returns whether any row had to change
 */
export function recycleFullRows(
  source: Int32Array,
  lengths: Int32Array,
  capacity: number,
  isOpen: (row: number) => boolean,
): boolean {
  let openRow = 0;
  while (!isOpen(openRow)) openRow++;
  let changed = false;
  for (let row = 0; row < source.length; row++) {
    if (!isOpen(row) && lengths[row]! >= capacity) {
      source[row] = source[openRow]!;
      changed = true;
    }
  }
  return changed;
}

/** One row of the state's logits, copied: processors change it. */
export function scoresOf(decoder: Decoder, logits: Float32Array, row: number): Float32Array {
  return logits.slice(row * decoder.vocabSize, (row + 1) * decoder.vocabSize);
}

/** Largest score. @throws TuneyardError `not_finite` where one is NaN or +Infinity: weights that training ruined. */
export function maxScore(scores: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const score of scores) {
    if (score > max) max = score;
    else if (Number.isNaN(score)) max = Number.POSITIVE_INFINITY;
  }
  if (max === Number.POSITIVE_INFINITY) {
    throw new TuneyardError(
      'not_finite',
      'The model’s scores for the next token are not finite numbers, so its weights are broken; generate with an earlier checkpoint.',
    );
  }
  return max;
}
