/** Trains a model by a recipe, into a run directory. */
import { mkdir } from 'node:fs/promises';
import { availableParallelism, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import type { TrainResult } from '@protocol/runner';
import { openArenaExchange } from '../collectives/arenaExchange';
import { type Collective, partsOf } from '../collectives/collective';
import { SOLO } from '../collectives/solo';
import { holdsSamplesOut } from '../data/heldOut';
import { chooseDevice } from '../engine/device';
import { GpuMonitor } from '../engine/gpuMonitor';
import { openEngine } from '../engine/openEngine';
import { eosTokens } from '../generate/eosTokens';
import { checkPrompts, generate } from '../generate/generate';
import { createDecoder } from '../generate/kvCache';
import { KvCachePrograms } from '../generate/kvCachePrograms';
import { requireDiskSpace } from '../hub/diskSpace';
import { prepareMethod } from '../methods/index';
import { type PreparedMethod, parameterCount } from '../methods/method';
import { newBuilder } from '../ops/index';
import { isShardable, openTrainingMemory, optimizerStateSize } from '../optim/index';
import type { OptimizerState } from '../optim/optimizer';
import { Arena, layoutArena, type ParameterSet } from '../train/arena';
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
import { DataParallel, layoutOfPart } from '../train/dataParallel';
import { hashArena } from '../train/hashArena';
import { runLoop } from '../train/loop';
import { evaluationBatches, planFingerprint, TrainingPlan } from '../train/plan';
import { firstLossScale, precisionOf, requirePrecision } from '../train/precision';
import { ShardedGradients } from '../train/shardedGradients';
import { freshState, parseTrainerState, type TrainerState } from '../train/trainerState';
import { TrainStep } from '../train/trainStep';
import { WeightStream } from '../train/weightStream';
import { openParameters } from './openParameters';
import { openHostEngine, openUpdates } from './openUpdates';
import { type PreparedModel, prepareModel, prepareSamples } from './prepare';
import type { TrainRequest } from './requests';

/**
 * @throws TuneyardError for bad input before anything is written but the run directory; `not_finite`, `disk_full`,
 *   `engine_failed` and the like later. Emits every event but a failure's `end`, which is the caller's.
 */
export async function trainJob(request: TrainRequest): Promise<TrainResult> {
  const { recipe, runDir, signal, emit, onStage, collective = SOLO } = request;
  const isFirst = collective.rank === 0;
  const started = performance.now();
  let step = 0;
  const warn = (code: string, message: string) => emit({ type: 'warning', step, code, message });
  const prepare = { ...request, revision: recipe.revision, onWarning: (message: string) => warn('download', message) };

  // What can be wrong is found out cheapest first: device, model, data, disk.
  const device = await chooseDevice(deviceOfRank(recipe.device, collective));
  // What has to be downloaded is downloaded once a machine.
  if (collective.localRank > 0) await collective.barrier();
  const prepared = await prepareModel(recipe.model, prepare);
  const { padTokenId } = prepared;
  const method = prepareMethod(prepared.bare, recipe, prepared.base, (text) => prepared.tokenizer.encodeStart(text));
  const { model } = method;
  const samples = await prepareSamples(recipe, { ...prepared, model }, prepare);
  if (collective.localRank === 0) await collective.barrier();
  const { prompts, ...options } = recipe.generation;
  checkPrompts({ ...prepared, prompts, options, vocabSize: model.vocabSize, maxPositions: model.maxPositions });
  const shaped = { maxLength: samples.maxLength, padTokenId, front: model.front };
  const plan = new TrainingPlan({ recipe, train: samples.train, ...shaped });
  const evalBatches = recipe.eval_strategy === 'no' ? [] : evaluationBatches(samples.eval, recipe, shaped);

  onStage?.('Loading the weights');
  const { worldSize, localSize } = collective;
  const threads = worldSize > 1 ? Math.max(1, Math.floor(availableParallelism() / localSize)) : undefined;
  const { tf32, cuda_graphs: record } = recipe;
  const engine = await openEngine(deviceOfRank(recipe.device, collective), {
    ...(threads !== undefined && { threads }),
    tf32,
    record,
  });
  const precision = precisionOf(recipe);
  requirePrecision(engine, precision);
  const isSharded = worldSize > 1 && recipe.zero_stage > 0 && isShardable(recipe.optim);
  const layout = layoutArena(model.parameters.filter(({ name }) => method.trainable.has(name)));
  const updated = isSharded ? layoutOfPart(layout, partsOf(layout.size, worldSize)[collective.rank]!) : layout;
  const keepsOwn = isSharded && recipe.zero_stage === 2;
  const memory = openTrainingMemory(layout, recipe, engine, updated, keepsOwn ? updated.size : layout.size);
  const { trained: parameters, parameters: all } = await openParameters(prepared, method, recipe, memory, signal);
  const gradients = new Arena(parameters.layout, keepsOwn ? undefined : memory);
  // Where weights and gradients stay; undefined: on the host.
  const resident = recipe.offload_param ? undefined : engine.memory;
  for (const { data } of all.arenas) await resident?.adopt(data);
  if (!keepsOwn) resident?.reserve(gradients.data);
  const stream = engine.memory && !resident ? new WeightStream(engine.memory, all, gradients) : undefined;
  const { exchange, obstacle: ncclObstacle } = await openArenaExchange(collective, resident);
  const parallel = new DataParallel(collective, parameters, gradients, isSharded, resident, exchange);
  const sharded = keepsOwn
    ? new ShardedGradients(engine, newBuilder, gradients, parallel.part, parallel.buckets, memory)
    : undefined;
  if (sharded) parallel.keepOwnGradients(sharded);
  const partOf = ({ data }: Arena) => data.subarray(parallel.part.from, parallel.part.to);
  const updates = await openUpdates(recipe, engine, threads, {
    layout: updated,
    parameters: partOf(parameters),
    gradients: sharded?.own ?? partOf(gradients),
  });
  const { optimizer, gradientNorm } = updates;
  const { weights, refresh } = savedWeights(parameters, method);
  const checkpoints = join(runDir, 'checkpoints');
  if (isFirst) {
    await mkdir(checkpoints, { recursive: true });
    const momentBytes = 4 * optimizerStateSize(recipe.optim, layout, recipe);
    await requireDiskSpace(
      runDir,
      (recipe.save_strategy === 'no' ? 0 : checkpointBytes({ weights, optimizer: [] }) + momentBytes) + 4 * layout.size,
      'the first checkpoint, with the final model,',
    );
  }

  const fingerprint = planFingerprint(recipe, samples.train);
  const fresh = freshState(plan.totalSteps, fingerprint, firstLossScale(precision));
  const begin = { request, root: checkpoints, weights, optimizer: optimizer.state, parallel, fresh, warn };
  const { resumed, state } = await startingState(begin);
  // From here on they are where they are computed with.
  await engine.memory?.upload(parameters.data, ...optimizer.state.map(({ data }) => data));
  const damaged = new Set(resumed?.damaged);
  state.total_steps = plan.totalSteps;
  // A run may be resumed with another precision.
  state.loss_scale = precision === 'float16' ? (state.loss_scale ?? firstLossScale(precision)) : null;
  step = state.step;
  let lastCheckpoint = resumed?.path;
  const places = await parallel.texts(`${hostname()}\n${device.label}`);
  const ranks = places.map((place) => ({ host: place.split('\n')[0]!, device: place.split('\n')[1] ?? '' }));
  emit({
    type: 'start',
    run: request.runId,
    pid: process.pid,
    step: state.step,
    total_steps: plan.totalSteps,
    model: recipe.model,
    method: recipe.method,
    parameters: parameterCount(prepared.bare, method),
    trainable_parameters: parameters.tensors.reduce((sum, { size }) => sum + size, 0),
    train_samples: samples.train.length,
    eval_samples: evalBatches.length > 0 ? samples.eval.length : 0,
    device: device.label,
    device_reason: device.reason,
    ...(resumed ? { resumed_from: resumed.path } : {}),
    ...(worldSize > 1 && { ranks }),
  });
  for (const message of samples.warnings) warn('dataset', message);
  if (recipe.eval_strategy !== 'no' && !holdsSamplesOut(recipe.dataset))
    warn(
      'no_evaluation',
      'there are no evaluation samples: set dataset.test_size or dataset.test_path to see an evaluation loss.',
    );

  if (ncclObstacle !== undefined)
    warn('nccl', `gradients go through the host’s memory, so that this run is slower: ${ncclObstacle}.`);
  if (engine.memoryObstacle !== undefined)
    warn('engine', `weights cross the bus at every step, so that this run is slower: ${engine.memoryObstacle}.`);
  if (engine.recordingObstacle !== undefined) warn('engine', `"cuda_graphs" is not used: ${engine.recordingObstacle}.`);
  if (engine.fallback !== undefined)
    warn('engine', `ONNX Runtime's C API is not used, so that this run is slower: ${engine.fallback}.`);

  const trainStep = new TrainStep({
    engine,
    newBuilder,
    model,
    parameters: all,
    gradients,
    checkpointing: recipe.gradient_checkpointing,
    precision,
    ...(stream && { stream }),
    ...(worldSize > 1 && { parts: BACKWARD_PARTS }),
  });
  // They need all weights at a time.
  const texts = stream ? await openHostEngine(threads) : engine;
  const writeTexts = textWriter({ ...prepared, model }, { parameters, all }, recipe, texts, emit, signal);
  const { adapter } = method;
  const modelFiles = {
    ...{ sourceDir: prepared.dir, config: prepared.source.config },
    ...(adapter && { adapter: adapter.config }),
  };
  const gpuMonitor = device.provider === 'cuda' ? new GpuMonitor() : undefined;
  try {
    if (state.step === 0 && isFirst) await writeTexts.at(0);
    onStage?.('Training');
    const status = await runLoop({
      recipe,
      plan,
      step: trainStep,
      optimizer,
      gradientNorm,
      parallel,
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
        const moments = namedMoments(await parallel.collectState(optimizer.state));
        if (!isFirst) return;
        await engine.memory?.download(parameters.data);
        refresh();
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
      ...(plan.totalSteps > 0 && isFirst
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
    if (status === 'stopped' || !isFirst) {
      const stopped = result({});
      emit({ type: 'end', status, step: state.step, runtime: stopped.runtime, ...best });
      return stopped;
    }
    await engine.memory?.download(parameters.data);
    if (recipe.load_best_model_at_end && state.best && state.best.step !== state.step) {
      await loadBest(join(checkpoints, `step-${state.best.step}`), weights, warn, signal);
      await engine.memory?.upload(parameters.data);
    }
    // The model first: a run whose last texts fail has it all the same.
    refresh();
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
    await sharded?.release();
  }
}

/** Between these gradients may leave: more would only cost. */
const BACKWARD_PARTS = 6;

/** A GPU for each rank of a machine, where the recipe names none. */
function deviceOfRank(requested: string, { worldSize, localRank }: Collective): string {
  if (worldSize === 1 || !/^(auto|cuda)$/.test(requested)) return requested;
  return `${requested}:${localRank}`;
}

/** What is trained, as it is saved, and what is saved beside it: as it was when it was last refreshed. */
function savedWeights(parameters: Arena, { adapter }: PreparedMethod): { weights: NamedTensor[]; refresh(): void } {
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({
    name: adapter ? adapter.savedName(name) : name,
    shape,
    data: parameters.slice(name),
  }));
  const derived = adapter?.derived;
  if (!derived) return { weights, refresh() {} };
  const { name, shape } = derived;
  const data = derived.of(parameters);
  return { weights: [...weights, { name, shape, data }], refresh: () => data.set(derived.of(parameters)) };
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

function namedMoments(state: readonly OptimizerState[]): NamedTensor[] {
  return state.map(({ name, data }) => ({ name, shape: [data.length], data }));
}

interface Begin {
  request: TrainRequest;
  root: string;
  weights: NamedTensor[];
  optimizer: readonly OptimizerState[];
  parallel: DataParallel;
  fresh: TrainerState;
  warn(code: string, message: string): void;
}

/** Where the run begins, the same on every rank: rank 0 reads the checkpoint. */
async function startingState({ request, root, weights, optimizer, parallel, fresh, warn }: Begin) {
  // A checkpoint holds the moments of all ranks.
  const whole = request.recipe.resume_from_checkpoint === false ? [] : await parallel.collectState(optimizer);
  const resumed = parallel.isFirst
    ? await resume(request, root, weights, namedMoments(whole), fresh.fingerprint, warn)
    : undefined;
  return { resumed, state: await parallel.spread(resumed?.state ?? fresh, optimizer, whole) };
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
  { parameters, all }: { parameters: Arena; all: ParameterSet },
  recipe: Recipe,
  engine: Awaited<ReturnType<typeof openEngine>>,
  emit: TrainRequest['emit'],
  signal: AbortSignal | undefined,
) {
  const programs = new KvCachePrograms({ engine, newBuilder, model });
  const { prompts, ...options } = recipe.generation;
  const at = async (step: number): Promise<void> => {
    if (prompts.length === 0 || signal?.aborted) return;
    // Their hash is that of what is on the host.
    await engine.memory?.download(parameters.data);
    // What is trained names the weights: the rest is always the same.
    const decoder = createDecoder({
      engine,
      newBuilder,
      model,
      parameters: all,
      programs,
      weights: hashArena(parameters),
    });
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
