/** Loss of a model over a set of samples, without dropout. */
import { TuneyardError } from '@protocol/errors';
import type { Batch } from '../data/collate';
import type { DataParallel } from './dataParallel';
import type { TrainStep } from './trainStep';

export interface Evaluation {
  /** Mean over supervised tokens, nats. */
  loss: number;
  perplexity: number;
  tokens: number;
  seconds: number;
}

/**
 * @param parallel ranks that each take some of the batches
 * @returns null where the signal came before the end
 */
export async function evaluateBatches(
  step: TrainStep,
  batches: readonly Batch[],
  { signal, parallel }: { signal?: AbortSignal | undefined; parallel?: DataParallel } = {},
): Promise<Evaluation | null> {
  const started = performance.now();
  let sum = 0;
  let tokens = 0;
  try {
    for (const batch of parallel?.mine(batches) ?? batches) {
      sum += await step.evaluate(batch, signal);
      tokens += batch.rows.length;
    }
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'cancelled') return null;
    throw error;
  }
  if (parallel) [sum = 0, tokens = 0] = await parallel.sum([sum, tokens]);
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens, seconds: (performance.now() - started) / 1000 };
}
