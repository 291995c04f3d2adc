/** Trains a model by a recipe, into a run directory. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import type { TrainResult } from '@protocol/runner';
import { holdsSamplesOut } from '../data/heldOut';
import { chooseDevice } from '../engine/device';
import { GpuMonitor } from '../engine/gpuMonitor';
import { openEngine } from '../engine/openEngine';
import { eosTokens } from '../generate/eosTokens';
import { checkPrompts, generate } from '../generate/generate';
import { createDecoder } from '../generate/kvCache';
import { KvCachePrograms } from '../generate/kvCachePrograms';
import { requireDiskSpace } from '../hub/diskSpace';
import { loadParameters } from '../models/loadModel';
import { newBuilder } from '../ops/index';
import { createGradientNorm } from '../optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '../optim/index';
import { Arena, layoutArena } from '../train/arena';
import {
  checkpointBytes,
  type NamedTensor,
  type OpenCheckpoint,
  pruneCheckpoints,
  readCheckpoint,
  recoverCheckpoints,
  setAsideAfter,
  writeCheckpoint,
  writeModelDir,
} from '../train/checkpoint';
import { runLoop } from '../train/loop';
import { evaluationBatches, planFingerprint, TrainingPlan } from '../train/plan';
import { freshState, parseTrainerState, type TrainerState } from '../train/trainerState';
import { TrainStep } from '../train/trainStep';
import { type PreparedModel, prepareModel, prepareSamples } from './prepare';
import type { TrainRequest } from './requests';

/**
 * @throws TuneyardError for bad input before anything is written but the run directory; `not_finite`, `disk_full`,
 *   `engine_failed` and the like later. Emits every event but a failure's `end`, which is the caller's.
 */
export async function trainJob(request: TrainRequest): Promise<TrainResult> {
  const { recipe, runDir, signal, emit, onStage } = request;
  const started = performance.now();
  let step = 0;
  const warn = (code: string, message: string) => emit({ type: 'warning', step, code, message });
  const prepare = { ...request, revision: recipe.revision, onWarning: (message: string) => warn('download', message) };

  // What can be wrong is found out cheapest first: device, model, data, disk.
  const device = await chooseDevice(recipe.device);
  const prepared = await prepareModel(recipe.model, prepare);
  const samples = await prepareSamples(recipe, prepared, prepare);
  const { model, padTokenId } = prepared;
  const { prompts, ...options } = recipe.generation;
  checkPrompts({ ...prepared, prompts, options, vocabSize: model.vocabSize, maxPositions: model.maxPositions });
  const plan = new TrainingPlan({ recipe, train: samples.train, maxLength: samples.maxLength, padTokenId });
  const evalBatches =
    recipe.eval_strategy === 'no' ? [] : evaluationBatches(samples.eval, recipe, samples.maxLength, padTokenId);

  onStage?.('Loading the weights');
  const engine = await openEngine(recipe.device);
  const memory = openTrainingMemory(layoutArena(model.parameters), recipe);
  const parameters = await loadParameters(prepared, signal, memory);
  const gradients = new Arena(parameters.layout, memory);
  const optimizer = await createOptimizer(recipe.optim, {
    engine,
    newBuilder,
    layout: parameters.layout,
    parameters: parameters.data,
    gradients: gradients.data,
    recipe,
  });
  const weights = namedWeights(parameters);
  const moments = optimizer.state.map(({ name, data }): NamedTensor => ({ name, shape: [data.length], data }));
  const checkpoints = join(runDir, 'checkpoints');
  await mkdir(checkpoints, { recursive: true });
  await requireDiskSpace(
    runDir,
    (recipe.save_strategy === 'no' ? 0 : checkpointBytes({ weights, optimizer: moments })) + 4 * parameters.layout.size,
    'the first checkpoint, with the final model,',
  );

  const fingerprint = planFingerprint(recipe, samples.train);
  const resumed = await resume(request, checkpoints, weights, moments, fingerprint, warn);
  const damaged = new Set(resumed?.damaged);
  const state = resumed?.state ?? freshState(plan.totalSteps, fingerprint);
  state.total_steps = plan.totalSteps;
  step = state.step;
  let lastCheckpoint = resumed?.path;
  const parameterCount = model.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  emit({
    type: 'start',
    run: request.runId,
    pid: process.pid,
    step: state.step,
    total_steps: plan.totalSteps,
    model: recipe.model,
    method: recipe.method,
    parameters: parameterCount,
    trainable_parameters: parameterCount,
    train_samples: samples.train.length,
    eval_samples: evalBatches.length > 0 ? samples.eval.length : 0,
    device: device.label,
    device_reason: device.reason,
    ...(resumed ? { resumed_from: resumed.path } : {}),
  });
  for (const message of samples.warnings) warn('dataset', message);
  if (recipe.eval_strategy !== 'no' && !holdsSamplesOut(recipe.dataset))
    warn(
      'no_evaluation',
      'there are no evaluation samples: set dataset.test_size or dataset.test_path to see an evaluation loss.',
    );

  if (engine.fallback !== undefined)
    warn('engine', `ONNX Runtime's C API is not used, so that this run is slower: ${engine.fallback}.`);

  const trainStep = new TrainStep({
    engine,
    newBuilder,
    model,
    parameters,
    gradients,
    checkpointing: recipe.gradient_checkpointing,
  });
  const gradientNorm = await createGradientNorm({ engine, newBuilder, gradients: gradients.data });
  const writeTexts = textWriter(prepared, parameters, recipe, engine, emit, signal);
  const modelFiles = { sourceDir: prepared.dir, config: prepared.source.config };
  const gpuMonitor = device.provider === 'cuda' ? new GpuMonitor() : undefined;
  try {
    if (state.step === 0) await writeTexts.at(0);
    onStage?.('Training');
    const status = await runLoop({
      recipe,
      plan,
      step: trainStep,
      optimizer,
      gradientNorm,
      evalBatches,
      evalSamples: samples.eval.length,
      state,
      ...(signal ? { signal } : {}),
      emit(event) {
        if ('step' in event) step = event.step;
        const gpus = gpuMonitor?.latest();
        emit(event.type === 'log' && gpus ? { ...event, gpus } : event);
      },
      async save(current) {
        const written = await writeCheckpoint({
          root: checkpoints,
          step: current.step,
          modelFiles,
          weights,
          optimizer: moments,
          state: current,
        });
        lastCheckpoint = written.path;
        damaged.delete(written.path);
        const removed =
          recipe.save_total_limit === undefined
            ? []
            : await pruneCheckpoints(checkpoints, {
                limit: recipe.save_total_limit,
                last: current.step,
                damaged: [...damaged],
                ...(current.best ? { best: current.best.step } : {}),
              });
        emit({ type: 'checkpoint', step: current.step, path: written.path, bytes: written.bytes, removed });
      },
      lastCheckpoint: () => lastCheckpoint,
      ...(plan.totalSteps > 0
        ? { generate: (at: number) => (at < plan.totalSteps ? writeTexts.at(at) : Promise.resolve()) }
        : {}),
    });
    step = state.step;
    const result = (extra: Partial<TrainResult>): TrainResult => ({
      status,
      step: state.step,
      total_steps: plan.totalSteps,
      ...(state.first_loss !== null ? { first_loss: state.first_loss } : {}),
      ...(state.last_loss !== null ? { last_loss: state.last_loss } : {}),
      ...(state.last_eval_loss !== null
        ? { eval_loss: state.last_eval_loss, eval_perplexity: Math.exp(state.last_eval_loss) }
        : {}),
      ...(state.best ? { best_step: state.best.step, best_metric: state.best.metric } : {}),
      runtime: (performance.now() - started) / 1000,
      ...extra,
    });
    const best = state.best ? { best_step: state.best.step, best_metric: state.best.metric } : {};
    if (status === 'stopped') {
      const stopped = result({});
      emit({ type: 'end', status, step: state.step, runtime: stopped.runtime, ...best });
      return stopped;
    }
    if (recipe.load_best_model_at_end && state.best && state.best.step !== state.step) {
      await loadBest(join(checkpoints, `step-${state.best.step}`), weights, warn, signal);
    }
    // The model first: a run whose last texts fail has it all the same.
    const { path } = await writeModelDir({ dir: join(runDir, 'model'), ...modelFiles, weights });
    await writeTexts.at(state.step);
    const done = result({ model_path: path });
    emit({ type: 'end', status, step: state.step, runtime: done.runtime, model_path: path, ...best });
    return done;
  } finally {
    gpuMonitor?.stop();
    await writeTexts.release();
    await trainStep.release();
    await optimizer.release();
    await gradientNorm.release();
  }
}

function namedWeights(parameters: Arena): NamedTensor[] {
  return parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
}

/** Takes the best checkpoint's weights; where it was damaged since, the last ones stay, and that is said. */
async function loadBest(
  path: string,
  weights: NamedTensor[],
  warn: (code: string, message: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let best: OpenCheckpoint;
  try {
    best = await readCheckpoint(path, { signal });
  } catch (error) {
    if (!(error instanceof TuneyardError && error.code === 'checkpoint_invalid')) throw error;
    warn('best_checkpoint_unusable', `the model is that of the last step, not of the best: ${error.message}`);
    return;
  }
  await best.loadWeights(weights, signal);
}

/** Loads the checkpoint that the recipe asks for. @returns nothing where the run begins anew */
async function resume(
  { recipe, baseDir, signal }: TrainRequest,
  root: string,
  weights: NamedTensor[],
  moments: NamedTensor[],
  fingerprint: string,
  warn: (code: string, message: string) => void,
): Promise<{ path: string; state: TrainerState; damaged: string[] } | undefined> {
  const wanted = recipe.resume_from_checkpoint;
  const { checkpoint, skipped } = await recoverCheckpoints(root, signal);
  if (wanted === false) {
    if (checkpoint) {
      throw new TuneyardError(
        'usage',
        'this run directory holds checkpoints of a run already: resume it (--resume), or choose another directory.',
        {
          place: { file: root },
        },
      );
    }
    return undefined;
  }
  for (const { path, reason } of skipped) warn('checkpoint_skipped', `${path} is not used: ${reason}.`);
  const path = typeof wanted === 'string' ? resolve(baseDir, wanted) : checkpoint?.path;
  if (!path) {
    warn('nothing_to_resume', 'there is no usable checkpoint to resume from: the run begins at step 0.');
    return undefined;
  }
  const opened = await readCheckpoint(path, { verified: path === checkpoint?.path, ...(signal ? { signal } : {}) });
  const state = parseTrainerState(opened.state, path);
  if (state.fingerprint !== fingerprint) {
    warn(
      'recipe_changed',
      'the recipe or the data changed since this checkpoint: the run goes on, but not as the uninterrupted one would have.',
    );
    state.fingerprint = fingerprint;
  }
  await opened.loadWeights(weights, signal);
  await opened.loadOptimizer(moments, signal);
  if (typeof wanted === 'string') {
    const aside = await setAsideAfter(root, state.step);
    if (aside)
      warn(
        'checkpoints_set_aside',
        `the run goes on from step ${state.step}: its later checkpoints are now in ${aside}.`,
      );
  }
  return { path, state, damaged: skipped.map((found) => found.path) };
}

/** Completes the recipe's prompts with the weights as they are, each text stamped with their hash. */
function textWriter(
  { model, source, tokenizer }: PreparedModel,
  parameters: Arena,
  recipe: Recipe,
  engine: Awaited<ReturnType<typeof openEngine>>,
  emit: TrainRequest['emit'],
  signal: AbortSignal | undefined,
) {
  const programs = new KvCachePrograms({ engine, newBuilder, model });
  const { prompts, ...options } = recipe.generation;
  const at = async (step: number): Promise<void> => {
    if (prompts.length === 0 || signal?.aborted) return;
    const decoder = createDecoder({ engine, newBuilder, model, parameters, programs });
    try {
      const texts = await generate({
        decoder,
        tokenizer,
        prompts,
        options,
        eosTokenIds: eosTokens(tokenizer, source.generationConfig),
        ...(signal ? { signal } : {}),
        onWarning: ({ code, message }) => emit({ type: 'warning', step, code, message }),
      });
      for (const { prompt, text, weights } of texts) emit({ type: 'generation', step, prompt, text, weights });
    } catch (error) {
      // A stop in the middle of a sample text is no failure of the run.
      if (!(error instanceof TuneyardError && error.code === 'cancelled')) throw error;
    }
  };
  return { at, release: () => programs.release() };
}
