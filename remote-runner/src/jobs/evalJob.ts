/** The loss of a model on a recipe's evaluation samples. */
import { TuneyardError } from '@protocol/errors';
import type { EvalResult } from '@protocol/runner';
import { openEngine } from '../engine/openEngine';
import { loadParameters } from '../models/loadModel';
import { hashArena } from '../train/hashArena';
import { evaluateModel, readHeldOut } from './evaluateModel';
import { modelDirOf } from './openForDecoding';
import { prepareModel } from './prepare';
import type { EvalRequest } from './requests';

/** @throws TuneyardError `dataset_empty` where the recipe holds no samples out; what opening throws; `cancelled` */
export async function evalJob(request: EvalRequest): Promise<EvalResult> {
  const { recipe, signal } = request;
  const name = request.model === undefined ? recipe.model : await modelDirOf(request.model, request.baseDir, signal);
  const prepared = await prepareModel(name, { ...request, revision: recipe.revision });
  const { batches, samples, path } = await readHeldOut(request, prepared, { signal });
  if (samples === 0) {
    throw new TuneyardError(
      'dataset_empty',
      'the recipe holds no samples out for evaluation; set dataset.test_size or dataset.test_path.',
      { place: { file: request.path ?? path } },
    );
  }
  const engine = await openEngine(recipe.device);
  const parameters = await loadParameters(prepared, signal);
  await engine.memory?.adopt(parameters.data);
  const evaluation = await evaluateModel({ engine, model: prepared.model, parameters, batches, signal });
  return {
    model: name,
    weights: hashArena(parameters),
    eval_loss: evaluation.loss,
    eval_perplexity: evaluation.perplexity,
    eval_accuracy: evaluation.accuracy,
    eval_samples: samples,
    eval_tokens: evaluation.tokens,
    eval_runtime: evaluation.seconds,
  };
}
