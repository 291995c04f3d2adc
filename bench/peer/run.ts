/**
 * Our side of `bench peer`, in a process of its own so that its memory is its own:
 * `node --import tsx bench/peer/run.ts '{"model": DIR, "batches": FILE, …}'` prints one line of JSON. See {@link Job}.
 */
import { readFileSync } from 'node:fs';
import { type Recipe, recipeSchema } from '@protocol/recipe';
import { SOLO } from '@runner/collectives/solo';
import { createEngine } from '@runner/engine/createEngine';
import { openParameters } from '@runner/jobs/openParameters';
import { prepareMethod } from '@runner/methods/index';
import { openModel } from '@runner/models/loadModel';
import { newBuilder, ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import { Arena, layoutArena } from '@runner/train/arena';
import { DataParallel } from '@runner/train/dataParallel';
import { runLoop } from '@runner/train/loop';
import { TrainingPlan } from '@runner/train/plan';
import { precisionOf } from '@runner/train/precision';
import { freshState } from '@runner/train/trainerState';
import { TrainStep } from '@runner/train/trainStep';
import { median } from '../lib/statistics';

export interface Job {
  /** A Hugging Face directory. */
  model: string;
  /** A JSON file: `{batches: [[{input_ids, labels}]]}`. */
  batches: string;
  pad: 'max' | 'longest';
  steps: number;
  warmup: number;
  cuda: boolean;
  bf16: boolean;
  method: Recipe['method'];
}

const {
  model: modelDir,
  batches: file,
  pad,
  steps,
  warmup,
  cuda,
  bf16,
  method: name,
} = JSON.parse(process.argv[2]!) as Job;
const { batches } = JSON.parse(readFileSync(file, 'utf8')) as {
  batches: { input_ids: number[]; labels: number[] }[][];
};
const size = batches[0]!.length;
const train = batches.flat().map((sample, i) => ({
  inputIds: Int32Array.from(sample.input_ids),
  labels: Int32Array.from(sample.labels),
  line: i + 1,
  truncated: false,
}));
const longest = Math.max(...train.map(({ inputIds }) => inputIds.length));
const recipe = recipeSchema.parse({
  model: modelDir,
  dataset: 'batches',
  max_steps: steps,
  bf16,
  method: name,
  lora: { r: 8, lora_alpha: 16, target_modules: 'all-linear' },
  prompt_tuning: { prompt_tuning_init: 'TEXT', prompt_tuning_init_text: 'the first of the vocabulary' },
  per_device_train_batch_size: size,
  pad_to: pad === 'max' ? 'max_length' : 'bucket',
  max_length: longest,
  logging_steps: 1,
  eval_strategy: 'no',
  save_strategy: 'no',
});
const opened = await openModel(modelDir);
const device = cuda ? ({ provider: 'cuda', deviceId: 0 } as const) : ({ provider: 'cpu' } as const);
const engine = await createEngine(ops, { device });
const method = prepareMethod(opened.model, recipe, modelDir, () => Array.from({ length: 20 }, (_, i) => i));
const { model, trainable } = method;
const layout = layoutArena(model.parameters.filter((parameter) => trainable.has(parameter.name)));
const memory = openTrainingMemory(layout, recipe, engine);
const { trained: parameters, parameters: all } = await openParameters(opened, method, recipe, memory);
const gradients = new Arena(parameters.layout, memory);
for (const { data } of all.arenas) await engine.memory?.adopt(data);
engine.memory?.reserve(gradients.data);
const context = {
  engine,
  newBuilder,
  layout: parameters.layout,
  parameters: parameters.data,
  gradients: gradients.data,
};
const losses: number[] = [];
const seconds: number[] = [];
const tokens: number[] = [];
await runLoop({
  recipe,
  plan: new TrainingPlan({
    recipe,
    train,
    maxLength: longest,
    padTokenId: 0,
    front: model.front,
    epochPlan: () => batches.map((_, at) => [Array.from({ length: size }, (_sample, i) => at * size + i)]),
  }),
  step: new TrainStep({
    engine,
    newBuilder,
    model,
    parameters: all,
    gradients,
    precision: precisionOf(recipe),
  }),
  optimizer: await createOptimizer('adamw', { ...context, recipe }),
  gradientNorm: await createGradientNorm({ engine, newBuilder, gradients: gradients.data }),
  parallel: new DataParallel(SOLO, parameters, gradients, false),
  evalBatches: [],
  evalSamples: 0,
  state: freshState(steps, ''),
  emit(event) {
    if (event.type !== 'log') return;
    losses.push(event.loss);
    seconds.push(event.step_seconds);
    tokens.push(event.tokens_per_second * event.step_seconds);
  },
  save: () => Promise.resolve(),
  lastCheckpoint: () => undefined,
});
const measured = seconds.slice(warmup);
const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
console.log(
  JSON.stringify({
    tokens_per_second: sum(tokens.slice(warmup)) / sum(measured),
    step_seconds: median(measured),
    losses,
    peak_rss_gb: process.resourceUsage().maxRSS / 1e6,
  }),
);
