/** The events of a run as schemas: nothing missing, nothing more, no number that JSON had to turn into null. */
import type { RunEvent, RunEventBody } from '@protocol/events';
import { expect } from 'vitest';
import { z } from 'zod';

const number = z.number();
const step = z.number().int().nonnegative();
const count = z.number().int().nonnegative();
const text = z.string();
const hash = z.string().regex(/^sha256:[0-9a-f]{12}$/);

const BODIES = {
  queued: { step, device: text, behind: z.array(text) },
  start: {
    run: text,
    pid: count,
    step,
    total_steps: count,
    model: text,
    method: text,
    parameters: count,
    trainable_parameters: count,
    train_samples: count,
    eval_samples: count,
    device: text,
    device_reason: text,
    resumed_from: text.optional(),
    ranks: z.array(z.strictObject({ host: text, device: text })).optional(),
  },
  log: {
    step,
    epoch: number,
    loss: number,
    learning_rate: number,
    grad_norm: number,
    tokens_per_second: number,
    supervised_tokens: count,
    tokens_seen: count,
    memory_bytes: count,
    step_seconds: number,
    rank_seconds: z.array(number).optional(),
    loss_scale: number.optional(),
    skipped_steps: number.optional(),
    gpus: z.array(z.strictObject({ index: count, used_bytes: count, utilization: number })).optional(),
  },
  eval: {
    step,
    epoch: number,
    eval_loss: number,
    eval_perplexity: number,
    eval_accuracy: number,
    eval_samples: count,
    eval_tokens: count,
    eval_runtime: number,
    best: z.boolean(),
  },
  checkpoint: { step, path: text, bytes: count, removed: z.array(text) },
  generation: { step, prompt: text, text, weights: hash },
  warning: { step, code: text, message: text },
  end: {
    status: z.enum(['completed', 'stopped', 'failed']),
    step,
    code: text.optional(),
    message: text.optional(),
    best_step: step.optional(),
    best_metric: number.optional(),
    model_path: text.optional(),
    runtime: number,
  },
} satisfies { [T in RunEventBody['type']]: Record<keyof Omit<Extract<RunEventBody, { type: T }>, 'type'>, z.ZodType> };

/** Fails where an event is not as `events.ts` says. */
export function expectEvent(event: RunEvent): void {
  const schema = z.strictObject({ seq: step.positive(), time: z.iso.datetime(), type: text, ...BODIES[event.type] });
  expect(schema.safeParse(event).error?.message).toBeUndefined();
}
