import type { RunEventBody } from '@protocol/events';
import { type Recipe, recipeSchema } from '@protocol/recipe';
import { SOLO } from '@runner/collectives/solo';
import { createEngine } from '@runner/engine/createEngine';
import type { EngineOptions } from '@runner/engine/engine';
import { openParameters } from '@runner/jobs/openParameters';
import { prepareMethod } from '@runner/methods/index';
import { openAdapter } from '@runner/methods/peftAdapter';
import { openModel } from '@runner/models/loadModel';
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
import { recipeOf } from './evaluation';
import { adapterDirOf, modelDirOf, type ReferenceTraining, readTraining, type TrainingRun } from './fixtures';

type Log = Extract<RunEventBody, { type: 'log' }>;

/** Trains a reference run through the loop that every run goes through; one log a step. */
export async function trainReference(
  name: TrainingRun,
  settings: Partial<Pick<Recipe, 'bf16' | 'fp16'>> = {},
  lossScale?: LossScale,
  before: (weights: Arena) => void = () => {},
  engineOptions: EngineOptions = {},
): Promise<{ reference: ReferenceTraining; logs: Log[]; parameters: Arena; savedName: (parameter: string) => string }> {
  const reference = await readTraining(name);
  const { options, samples, adapter: of, loraplus_lr_ratio } = reference;
  const recipe = recipeSchema.parse({
    ...(of ? withRatio(recipeOf(of), loraplus_lr_ratio) : { model: name, dataset: 'samples' }),
    ...options,
    ...settings,
    optim: 'adamw',
    logging_steps: 1,
    eval_strategy: 'no',
    save_strategy: 'no',
  });
  const opened = await openModel(modelDirOf(reference.model));
  const engine = await createEngine(ops, engineOptions);
  const method = prepareMethod(opened.model, recipe, reference.model);
  const { model, trainable } = method;
  const memory = openTrainingMemory(
    layoutArena(model.parameters.filter((parameter) => trainable.has(parameter.name))),
    recipe,
    engine,
  );
  const adapter = of && (await openAdapter(adapterDirOf(of)));
  const { trained: parameters, parameters: all } = await openParameters({ ...opened, adapter }, method, recipe, memory);
  before(parameters);
  const gradients = new Arena(parameters.layout, memory);
  for (const { data } of all.arenas) await engine.memory?.adopt(data);
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
    maxLength: Math.min(64, model.maxPositions),
    padTokenId: 0,
    front: model.front,
    epochPlan: (epoch) => reference.steps.slice(epoch * perEpoch, (epoch + 1) * perEpoch).map(({ batches }) => batches),
  });
  const precision = precisionOf(recipe);
  const step = new TrainStep({ engine, newBuilder, model, parameters: all, gradients, precision });
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
  const savedName = (parameter: string) => method.adapter?.savedName(parameter) ?? parameter;
  return { reference, logs, parameters, savedName };
}

const withRatio = (recipe: Recipe, ratio: number | null | undefined) =>
  ratio ? { ...recipe, lora: { ...recipe.lora, loraplus_lr_ratio: ratio } } : recipe;
