/** Loss of a model over a set of samples, without dropout. */
import type { Batch } from '../data/collate';
import type { TrainStep } from './trainStep';

export interface Evaluation {
  /** Mean over supervised tokens, nats. */
  loss: number;
  perplexity: number;
  tokens: number;
  seconds: number;
}

/** @param aborted asked before each batch: true gives up with null */
export async function evaluateBatches(
  step: TrainStep,
  batches: readonly Batch[],
  aborted: () => boolean = () => false,
): Promise<Evaluation | null> {
  const started = performance.now();
  let sum = 0;
  let tokens = 0;
  for (const batch of batches) {
    if (aborted()) return null;
    sum += await step.evaluate(batch);
    tokens += batch.rows.length;
  }
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens, seconds: (performance.now() - started) / 1000 };
}
