import type { RunEventBody } from '@protocol/events';
import { recipeSchema } from '@protocol/recipe';
import { SOLO } from '@runner/collectives/solo';
import { NativeEngine } from '@runner/engine/native';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import { Arena, layoutArena } from '@runner/train/arena';
import { DataParallel } from '@runner/train/dataParallel';
import { runLoop } from '@runner/train/loop';
import { TrainingPlan } from '@runner/train/plan';
import { freshState } from '@runner/train/trainerState';
import { TrainStep } from '@runner/train/trainStep';
import { modelDirOf, type ReferenceTraining, readTraining, type TrainingRun } from './fixtures';

type Log = Extract<RunEventBody, { type: 'log' }>;

/** Trains a reference run through the loop that every run goes through; one log a step. */
export async function trainReference(
  name: TrainingRun,
): Promise<{ reference: ReferenceTraining; logs: Log[]; parameters: Arena }> {
  const reference = await readTraining(name);
  const { options, samples } = reference;
  const recipe = recipeSchema.parse({
    model: name,
    dataset: 'samples',
    ...options,
    optim: 'adamw',
    logging_steps: 1,
    eval_strategy: 'no',
    save_strategy: 'no',
  });
  const opened = await openModel(modelDirOf(reference.model));
  const memory = openTrainingMemory(layoutArena(opened.model.parameters), recipe);
  const parameters = await loadParameters(opened, undefined, memory);
  const gradients = new Arena(parameters.layout, memory);
  const engine = new NativeEngine(ops);
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
  const step = new TrainStep({ engine, newBuilder, model: opened.model, parameters, gradients });
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
    state: freshState(0, ''),
    emit: (event) => {
      if (event.type === 'log') logs.push(event);
    },
    save: () => Promise.resolve(),
    lastCheckpoint: () => undefined,
  });
  await step.release();
  return { reference, logs, parameters };
}
