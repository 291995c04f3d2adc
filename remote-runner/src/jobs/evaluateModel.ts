/** The loss of a model in memory on what a recipe holds out for evaluation. */
import { TuneyardError } from '@protocol/errors';
import type { Batch } from '../data/collate';
import type { Engine } from '../engine/engine';
import type { CausalLm } from '../models/causalLm';
import { newBuilder } from '../ops/index';
import { Arena, layoutArena } from '../train/arena';
import { type Evaluation, evaluateBatches } from '../train/evaluate';
import { evaluationBatches } from '../train/plan';
import { TrainStep } from '../train/trainStep';
import { type PreparedModel, type PrepareOptions, prepareSamples } from './prepare';
import type { LoadedRecipe } from './requests';

export interface HeldOut {
  batches: readonly Batch[];
  samples: number;
  /** The file they are from. */
  path: string;
}

/**
 * Reads a recipe's evaluation samples for a model; there may be none.
 * @throws TuneyardError what {@link prepareSamples} throws
 */
export async function readHeldOut(
  { recipe, baseDir }: LoadedRecipe,
  prepared: PreparedModel,
  options: Omit<PrepareOptions, 'baseDir'>,
): Promise<HeldOut> {
  const { eval: samples, maxLength, path } = await prepareSamples(recipe, prepared, { ...options, baseDir });
  const { padTokenId, model } = prepared;
  const batches = evaluationBatches(samples, recipe, { maxLength, padTokenId, front: model.front });
  return { batches, samples: samples.length, path };
}

export interface EvaluateModelOptions {
  engine: Engine;
  model: CausalLm;
  /** Read in place. */
  parameters: Arena;
  batches: readonly Batch[];
  signal?: AbortSignal | undefined;
}

/** @throws TuneyardError `cancelled`, `engine_failed`, `out_of_memory` */
export async function evaluateModel(options: EvaluateModelOptions): Promise<Evaluation> {
  const { engine, model, parameters, batches, signal } = options;
  // Nothing is trained, so there is no room for gradients.
  const step = new TrainStep({ engine, newBuilder, model, parameters, gradients: new Arena(layoutArena([])) });
  try {
    const evaluation = await evaluateBatches(step, batches, { signal });
    if (!evaluation) throw new TuneyardError('cancelled', 'The evaluation was cancelled.');
    return evaluation;
  } finally {
    await step.release();
  }
}
