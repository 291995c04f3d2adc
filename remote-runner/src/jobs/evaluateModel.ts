/** The loss of a model in memory on what a recipe holds out for evaluation. */
import { TuneyardError } from '@protocol/errors';
import type { Engine } from '../engine/engine';
import { newBuilder } from '../ops/index';
import { Arena, layoutArena } from '../train/arena';
import { type Evaluation, evaluateBatches } from '../train/evaluate';
import { evaluationBatches } from '../train/plan';
import { TrainStep } from '../train/trainStep';
import { type PreparedModel, prepareSamples } from './prepare';
import type { LoadedRecipe } from './requests';

export interface EvaluateModelOptions {
  engine: Engine;
  prepared: PreparedModel;
  /** Of `prepared`; read in place. */
  parameters: Arena;
  recipe: LoadedRecipe;
  signal?: AbortSignal | undefined;
}

/**
 * @returns loss in nats a supervised token, and how many samples it is the mean of
 * @throws TuneyardError `dataset_empty` where the recipe holds nothing out, what reading the data throws, `cancelled`
 */
export async function evaluateModel(options: EvaluateModelOptions): Promise<Evaluation & { samples: number }> {
  const { engine, prepared, parameters, signal } = options;
  const { recipe, baseDir, path } = options.recipe;
  const samples = await prepareSamples(recipe, prepared, { baseDir, signal });
  if (samples.eval.length === 0) {
    throw new TuneyardError(
      'dataset_empty',
      'the recipe holds no samples out for evaluation; set dataset.test_size or dataset.test_path.',
      { place: { file: path ?? samples.path } },
    );
  }
  // Nothing is trained, so there is no room for gradients.
  const gradients = new Arena(layoutArena([]));
  const step = new TrainStep({ engine, newBuilder, model: prepared.model, parameters, gradients });
  try {
    const batches = evaluationBatches(samples.eval, recipe, samples.maxLength, prepared.padTokenId);
    const evaluation = await evaluateBatches(step, batches, () => signal?.aborted === true);
    if (!evaluation) throw new TuneyardError('cancelled', 'The evaluation was cancelled.');
    return { ...evaluation, samples: samples.eval.length };
  } finally {
    await step.release();
  }
}
