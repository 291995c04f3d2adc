/** What a checkpoint remembers beside tensors: all that a resumed run needs to go on as if nothing had happened. */
import { TuneyardError } from '@protocol/errors';
import { z } from 'zod';
import { emptyWindow, windowSchema } from './metrics';
import { type LossScale, lossScaleSchema } from './precision';

export const trainerStateSchema = z.strictObject({
  step: z.number().int().min(0),
  total_steps: z.number().int(),
  /** Input tokens without padding since the run began. */
  tokens_seen: z.number(),
  /** Seconds of training, pauses left out. */
  runtime: z.number(),
  window: windowSchema,
  best: z.strictObject({ step: z.number().int(), metric: z.number() }).nullable(),
  /** Evaluations since the best one. */
  evals_without_gain: z.number().int(),
  /** The run was stopped before or during an evaluation at this step. */
  evaluation_due: z.boolean(),
  first_loss: z.number().nullable(),
  last_loss: z.number().nullable(),
  last_eval_loss: z.number().nullable(),
  /** Only where fp16 is computed in. */
  loss_scale: lossScaleSchema.nullable().default(null),
  /** Hash of the training samples and of all in the recipe that the order and the arithmetic depend on. */
  fingerprint: z.string(),
});

export type TrainerState = z.infer<typeof trainerStateSchema>;

/** Before the first step. */
export function freshState(totalSteps: number, fingerprint: string, lossScale: LossScale | null = null): TrainerState {
  return {
    step: 0,
    total_steps: totalSteps,
    tokens_seen: 0,
    runtime: 0,
    window: emptyWindow(),
    best: null,
    evals_without_gain: 0,
    evaluation_due: false,
    first_loss: null,
    last_loss: null,
    last_eval_loss: null,
    loss_scale: lossScale,
    fingerprint,
  };
}

/** @throws TuneyardError `checkpoint_invalid` */
export function parseTrainerState(json: unknown, path: string): TrainerState {
  const result = trainerStateSchema.safeParse(json);
  if (result.success) return result.data;
  throw new TuneyardError(
    'checkpoint_invalid',
    'trainer_state.json is not what this version writes; start the run anew or use the version that made it.',
    {
      place: { file: path },
      cause: result.error,
    },
  );
}
