/** Training at TinyStories-33M's shape: random weights, AdamW, one batch of 8 × 128 of which all tokens are supervised. */
import { recipeSchema } from '@protocol/recipe';
import { collate } from '@runner/data/collate';
import type { Engine } from '@runner/engine/engine';
import { newBuilder } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import { Arena, layoutArena } from '@runner/train/arena';
import { TrainStep } from '@runner/train/trainStep';
import { randomize, tinyStories33M } from './tinyStories33M';

const BATCH = 8;
const LENGTH = 128;

export interface BenchTraining {
  /** A whole step: forward, backward, clip, AdamW. @returns the loss */
  step(at: number): Promise<number>;
  readonly parameters: Float32Array;
  /** Seconds to build and load the graphs. */
  readonly loadSeconds: number;
}

/** Everything compiled, so that the first step is as fast as the others. */
export async function openTraining(engine: Engine): Promise<BenchTraining> {
  const model = tinyStories33M();
  const layout = layoutArena(model.parameters);
  const recipe = recipeSchema.parse({ model: 'TinyStories-33M', dataset: 'random', learning_rate: 1e-4 });
  const memory = openTrainingMemory(layout, recipe, engine);
  const parameters = new Arena(layout, memory);
  const gradients = new Arena(layout, memory);
  randomize(model, parameters, 1);
  const started = performance.now();
  const step = new TrainStep({ engine, newBuilder, model, parameters, gradients });
  const optimizer = await createOptimizer('adamw', {
    engine,
    newBuilder,
    layout,
    parameters: parameters.data,
    gradients: gradients.data,
    recipe,
  });
  const norm = await createGradientNorm({ engine, newBuilder, gradients: gradients.data });
  const batch = collate(
    Array.from({ length: BATCH }, (_, row) => {
      const ids = Int32Array.from({ length: LENGTH }, (_, i) => (i * 7919 + row * 31) % model.vocabSize);
      return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
    }),
    { length: LENGTH, padTokenId: 0 },
  );
  await step.prepare(batch, true);
  return {
    parameters: parameters.data,
    loadSeconds: (performance.now() - started) / 1000,
    async step(at) {
      const loss = await step.accumulate(batch, { weight: 1 / batch.rows.length, first: true, seed: 0n });
      const clip = Math.min(1, recipe.max_grad_norm / (await norm()));
      await optimizer.step({ learningRate: recipe.learning_rate, gradientScale: clip, step: at + 1 });
      return loss;
    },
  };
}
