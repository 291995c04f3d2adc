/** Loss of a model over a set of samples, without dropout. */
import { TuneyardError } from '@protocol/errors';
import type { Batch } from '../data/collate';
import type { DataParallel } from './dataParallel';
import type { TrainStep } from './trainStep';

export interface Evaluation {
  /** Mean over supervised tokens, nats. */
  loss: number;
  perplexity: number;
  /** Share of the supervised tokens that the model finds likelier than any other. */
  accuracy: number;
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
  let [sum, correct, tokens] = [0, 0, 0];
  try {
    for (const batch of parallel?.mine(batches) ?? batches) {
      const evaluated = await step.evaluate(batch, signal);
      sum += evaluated.loss;
      correct += evaluated.correct;
      tokens += batch.rows.length;
    }
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'cancelled') return null;
    throw error;
  }
  if (parallel) [sum = 0, correct = 0, tokens = 0] = await parallel.sum([sum, correct, tokens]);
  const loss = sum / tokens;
  const seconds = (performance.now() - started) / 1000;
  return { loss, perplexity: Math.exp(loss), accuracy: correct / tokens, tokens, seconds };
}
