/** The loss of a model on a recipe's evaluation samples. */
import type { EvalResult } from '@protocol/runner';
import { TuneyardError } from '@protocol/errors';
import { openEngine } from '../engine/openEngine';
import { hashWeights } from '../hub/hash';
import { loadParameters } from '../models/loadModel';
import { newBuilder } from '../ops/index';
import { Arena, layoutArena } from '../train/arena';
import { evaluateBatches } from '../train/evaluate';
import { evaluationBatches } from '../train/plan';
import { TrainStep } from '../train/trainStep';
import { modelDirOf } from './openForDecoding';
import { prepareModel, prepareSamples } from './prepare';
import type { EvalRequest } from './requests';

/** @throws TuneyardError `dataset_empty` where the recipe holds no samples out; what opening throws; `cancelled` */
export async function evalJob(request: EvalRequest): Promise<EvalResult> {
  const { recipe, signal } = request;
  const name = request.model === undefined ? recipe.model : await modelDirOf(request.model, request.baseDir, signal);
  const prepared = await prepareModel(name, { ...request, revision: recipe.revision });
  const samples = await prepareSamples(recipe, prepared, request);
  if (samples.eval.length === 0) {
    throw new TuneyardError('dataset_empty', 'the recipe holds no samples out for evaluation: set dataset.test_size or dataset.test_path.', {
      place: { file: request.path ?? samples.path },
    });
  }
  const engine = await openEngine(recipe.device);
  const parameters = await loadParameters(prepared, signal);
  // Nothing is trained: no gradients.
  const step = new TrainStep({ engine, newBuilder, model: prepared.model, parameters, gradients: new Arena(layoutArena([])) });
  try {
    const batches = evaluationBatches(samples.eval, recipe, samples.maxLength, prepared.padTokenId);
    const evaluation = await evaluateBatches(step, batches, () => signal?.aborted === true);
    if (!evaluation) throw new TuneyardError('cancelled', 'the evaluation was cancelled.');
    return {
      model: name,
      weights: hashWeights(parameters.layout.tensors.map(({ name: tensor, shape }) => ({ name: tensor, shape, data: parameters.slice(tensor) }))),
      eval_loss: evaluation.loss,
      eval_perplexity: evaluation.perplexity,
      eval_samples: samples.eval.length,
      eval_tokens: evaluation.tokens,
      eval_runtime: evaluation.seconds,
    };
  } finally {
    await step.release();
  }
}
