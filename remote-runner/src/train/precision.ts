/** What a recipe's `bf16` and `fp16` mean, and the loss scaling that fp16 needs. */
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import { z } from 'zod';
import type { Engine } from '../engine/engine';
import type { Precision } from '../graph/lowPrecision';

export function precisionOf({ bf16, fp16 }: Pick<Recipe, 'bf16' | 'fp16'>): Precision {
  return bf16 ? 'bfloat16' : fp16 ? 'float16' : 'float32';
}

/** @throws TuneyardError `engine_failed` where bfloat16 was asked of an engine that cannot hand it over */
export function requirePrecision(engine: Engine, precision: Precision): void {
  if (precision !== 'bfloat16' || engine.fallback === undefined) return;
  throw new TuneyardError(
    'engine_failed',
    `"bf16" needs ONNX Runtime's C API, which cannot be used here: ${engine.fallback}. Mend that (tuneyard doctor), or take "bf16" out.`,
  );
}

/** torch.amp.GradScaler's defaults. */
const FIRST_SCALE = 65_536;
const GROWTH_INTERVAL = 2000;
/** Below this the gradients are not too large for 16 bits: they are wrong. */
const LEAST_SCALE = 1;

export const lossScaleSchema = z.strictObject({
  scale: z.number().positive(),
  /** Steps since the scale last changed. */
  clean_steps: z.number().int(),
  /** Steps since the run began whose gradients were infinite, so that no weight was changed. */
  skipped_steps: z.number().int(),
});

export type LossScale = z.infer<typeof lossScaleSchema>;

/**
 * Dynamic loss scaling (Micikevicius et al. 2018), as torch.amp.GradScaler does it: gradients of float16 vanish below 6e-8,
 * so the loss is multiplied by as much as they can bear without overflowing, and their sum divided by it.
 */
export function firstLossScale(precision: Precision): LossScale | null {
  return precision === 'float16' ? { scale: FIRST_SCALE, clean_steps: 0, skipped_steps: 0 } : null;
}

/** After a step. @returns whether there is a smaller scale to try where it overflowed */
export function updateLossScale(state: LossScale, overflowed: boolean): boolean {
  if (overflowed) {
    state.scale /= 2;
    state.clean_steps = 0;
    state.skipped_steps++;
    return state.scale >= LEAST_SCALE;
  }
  state.clean_steps++;
  if (state.clean_steps === GROWTH_INTERVAL) {
    state.scale *= 2;
    state.clean_steps = 0;
  }
  return true;
}
