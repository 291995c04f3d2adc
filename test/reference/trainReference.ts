import type { RunEventBody } from '@protocol/events';
import { type Recipe, recipeSchema } from '@protocol/recipe';
import { SOLO } from '@runner/collectives/solo';
import { createEngine } from '@runner/engine/createEngine';
import type { EngineOptions } from '@runner/engine/engine';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import { Arena, layoutArena } from '@runner/train/arena';
import { DataParallel } from '@runner/train/dataParallel';
import { runLoop } from '@runner/train/loop';
import { TrainingPlan } from '@runner/train/plan';
import { firstLossScale, type LossScale, precisionOf } from '@runner/train/precision';
import { freshState } from '@runner/train/trainerState';
import { TrainStep } from '@runner/train/trainStep';
import { modelDirOf, type ReferenceTraining, readTraining, type TrainingRun } from './fixtures';

type Log = Extract<RunEventBody, { type: 'log' }>;

/** Trains a reference run through the loop that every run goes through; one log a step. */
export async function trainReference(
  name: TrainingRun,
  settings: Partial<Pick<Recipe, 'bf16' | 'fp16'>> = {},
  lossScale?: LossScale,
  before: (weights: Arena) => void = () => {},
  engineOptions: EngineOptions = {},
): Promise<{ reference: ReferenceTraining; logs: Log[]; parameters: Arena }> {
  const reference = await readTraining(name);
  const { options, samples } = reference;
  const recipe = recipeSchema.parse({
    model: name,
    dataset: 'samples',
    ...options,
    ...settings,
    optim: 'adamw',
    logging_steps: 1,
    eval_strategy: 'no',
    save_strategy: 'no',
  });
  const opened = await openModel(modelDirOf(reference.model));
  const engine = await createEngine(ops, engineOptions);
  const memory = openTrainingMemory(layoutArena(opened.model.parameters), recipe, engine);
  const parameters = await loadParameters(opened, undefined, memory);
  before(parameters);
  const gradients = new Arena(parameters.layout, memory);
  await engine.memory?.adopt(parameters.data);
  engine.memory?.reserve(gradients.data);
  const optimizer = await createOptimizer('adamw', {
    engine,
    newBuilder,
    layout: parameters.layout,
    parameters: parameters.data,
    gradients: gradients.data,
    recipe,
  });
  const gradientNorm = await createGradientNorm({ engine, newBuilder, gradients: gradients.data });
  const trainSamples = samples.map((sample, i) => ({
    inputIds: Int32Array.from(sample.input_ids),
    labels: Int32Array.from(sample.labels),
    line: i + 1,
    truncated: false,
  }));
  const perEpoch = reference.steps.filter(({ epoch }) => epoch <= 1).length;
  const plan = new TrainingPlan({
    recipe,
    train: trainSamples,
    maxLength: Math.min(64, opened.model.maxPositions),
    padTokenId: 0,
    epochPlan: (epoch) => reference.steps.slice(epoch * perEpoch, (epoch + 1) * perEpoch).map(({ batches }) => batches),
  });
  const precision = precisionOf(recipe);
  const step = new TrainStep({ engine, newBuilder, model: opened.model, parameters, gradients, precision });
  const logs: Log[] = [];
  await runLoop({
    recipe,
    plan,
    step,
    optimizer,
    gradientNorm,
    parallel: new DataParallel(SOLO, parameters, gradients, false),
    evalBatches: [],
    evalSamples: 0,
    state: freshState(0, '', lossScale ?? firstLossScale(precision)),
    emit: (event) => {
      if (event.type === 'log') logs.push(event);
    },
    save: () => Promise.resolve(),
    lastCheckpoint: () => undefined,
  });
  await engine.memory?.download(parameters.data);
  await step.release();
  return { reference, logs, parameters };
}
