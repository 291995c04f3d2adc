/** How the learning rate goes, as pure functions of the step; equal to transformers' `get_scheduler`. */
import type { Recipe } from '@protocol/recipe';

export type ScheduleType = Recipe['lr_scheduler_type'];

export interface SchedulePosition {
  /** Optimizer steps made before this one: 0 for the first. */
  readonly step: number;
  readonly totalSteps: number;
  /** Steps in which the rate rises linearly from 0 to `peak`. */
  readonly warmupSteps: number;
  readonly peak: number;
}

/**
 * The learning rate of a step. `constant` warms up too where `warmupSteps` is given, as `constant_with_warmup` does;
 * transformers would silently ignore the warmup there.
 */
export function learningRateAt(type: ScheduleType, position: SchedulePosition): number {
  const { step, totalSteps, warmupSteps, peak } = position;
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  return peak * SHARE_AFTER_WARMUP[type](progress);
}

/** What is left of the peak, by the share of the steps after warmup that is done. */
const SHARE_AFTER_WARMUP: Readonly<Record<ScheduleType, (progress: number) => number>> = {
  linear: (progress) => 1 - progress,
  cosine: (progress) => (1 + Math.cos(Math.PI * progress)) / 2,
  constant: () => 1,
  constant_with_warmup: () => 1,
};
