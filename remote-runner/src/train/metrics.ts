/** What a run has measured since its last log line; saved with each checkpoint, so that a resumed run logs the same. */
import { z } from 'zod';

export const windowSchema = z.strictObject({
  /** Σ loss over supervised tokens, nats. */
  loss_sum: z.number(),
  supervised_tokens: z.number(),
  tokens: z.number(),
  steps: z.number(),
  seconds: z.number(),
});

/** Sums since the last log line. */
export type LogWindow = z.infer<typeof windowSchema>;

export const emptyWindow = (): LogWindow => ({ loss_sum: 0, supervised_tokens: 0, tokens: 0, steps: 0, seconds: 0 });
