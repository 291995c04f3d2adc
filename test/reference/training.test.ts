import type { RunEvent, RunEventBody } from '@protocol/events';
import { recipeSchema } from '@protocol/recipe';
import { NodeEngine } from '@runner/engine/node';
import { loadParameters, openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer } from '@runner/optim/index';
import { Arena } from '@runner/train/arena';
import { runLoop } from '@runner/train/loop';
import { emptyWindow } from '@runner/train/metrics';
import { TrainingPlan } from '@runner/train/plan';
import { TrainStep } from '@runner/train/trainStep';
import { describe, expect, it } from 'vitest';
import { deviation, modelDirOf, readTraining, TRAINING_RUNS } from './fixtures';

/** Trains a reference run through the loop that every run goes through. */
async function train(name: (typeof TRAINING_RUNS)[number]) {
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
  const parameters = await loadParameters(opened);
  const gradients = new Arena(parameters.layout);
  const engine = new NodeEngine(ops);
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
  const logs: Extract<RunEvent | RunEventBody, { type: 'log' }>[] = [];
  const state = {
    step: 0,
    total_steps: 0,
    tokens_seen: 0,
    runtime: 0,
    window: emptyWindow(),
    best: null,
    evals_without_gain: 0,
    evaluation_due: false,
    first_loss: null,
    last_loss: null,
    last_eval_loss: null,
    fingerprint: '',
  };
  await runLoop({
    recipe,
    plan,
    step,
    optimizer,
    gradientNorm,
    evalBatches: [],
    evalSamples: 0,
    state,
    emit: (event) => {
      if (event.type === 'log') logs.push(event);
    },
    save: () => Promise.resolve(),
    lastCheckpoint: () => undefined,
  });
  return { reference, logs, parameters };
}

describe.each(TRAINING_RUNS)('%s', (name) => {
  it('follows transformers’ Trainer step by step: loss, norm, rate and the weights in the end', async () => {
    const { reference, logs, parameters } = await train(name);
    expect(logs.length).toBe(reference.steps.length);
    reference.steps.forEach((expected, i) => {
      const log = logs[i]!;
      expect(Math.abs(log.loss / expected.loss - 1), `loss of step ${i + 1}`).toBeLessThan(1e-3);
      expect(Math.abs(log.grad_norm / expected.grad_norm - 1), `norm of step ${i + 1}`).toBeLessThan(2e-3);
      expect(log.learning_rate, `rate of step ${i + 1}`).toBeCloseTo(expected.learning_rate, 9);
      expect(log.supervised_tokens).toBe(expected.supervised);
    });
    for (const tensor of parameters.layout.tensors) {
      const ours = parameters.slice(tensor.name);
      expect(deviation(ours, await reference.finalParameters.read(tensor.name)), tensor.name).toBeLessThan(5e-3);
    }
  });
});
