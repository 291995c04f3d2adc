/**
 * What gradient checkpointing saves and costs: GPT-2's shape (12 layers, dropout), one step with all activations kept and one
 * with the layers computed again, in turn. Last line: `{bench, activation_mb, activation_mb_all, activation_ratio, step_s,
 * step_s_all, step_ratio}`.
 */
import { parseArgs } from 'node:util';
import { collate } from '@runner/data/collate';
import { NativeEngine } from '@runner/engine/native';
import { layOut } from '@runner/engine/workspace';
import type { Graph } from '@runner/graph/ir';
import { planMemory } from '@runner/graph/memoryPlan';
import { buildModel } from '@runner/graph/onnx';
import { optimize } from '@runner/graph/passes/index';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena } from '@runner/train/arena';
import { buildTraining } from '@runner/train/bodyProgram';
import { TrainStep } from '@runner/train/trainStep';
import { median } from './lib/statistics';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '4' },
    batch: { type: 'string', default: '4' },
    length: { type: 'string', default: '256' },
  },
});
const [steps, batchSize, length] = [Number(values.steps), Number(values.batch), Number(values.length)];

const model = gpt2.parse(
  { model_type: 'gpt2', vocab_size: 50257, n_embd: 768, n_layer: 12, n_head: 12, n_positions: 1024 },
  'config.json',
);
const parameters = initializeParameters(model, 1);
const gradients = new Arena(parameters.layout);
const engine = new NativeEngine(ops);
const batch = collate(
  Array.from({ length: batchSize }, (_, row) => {
    const ids = Int32Array.from({ length }, (_, i) => (i * 7919 + row * 31) % model.vocabSize);
    return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
  }),
  { length, padTokenId: 0 },
);

/** What a step keeps between its halves, and what the larger half needs besides. */
function activationBytes(checkpointing: boolean): number {
  const trainable = new Set(model.parameters.map(({ name }) => name));
  const shape = { batch: batchSize, length, tokens: batchSize * length };
  const options = { trainable, accumulate: false, checkpointing };
  const { forward, backward, buffers } = buildTraining(newBuilder('body'), model, shape, options);
  const bytesOf = (graph: Graph) => planMemory(buildModel(optimize(graph, ops), ops)).bytes;
  return layOut(buffers).bytes + Math.max(...[...forward, ...backward].map(bytesOf));
}

const ways = [false, true].map((checkpointing) => ({
  step: new TrainStep({ engine, newBuilder, model, parameters, gradients, checkpointing }),
  seconds: [] as number[],
  loss: 0,
}));
for (let at = 0; at <= steps; at++) {
  for (const way of ways) {
    const started = performance.now();
    way.loss = await way.step.accumulate(batch, { weight: 1 / batch.rows.length, first: true, seed: BigInt(at) });
    // The first one compiles.
    if (at > 0) way.seconds.push((performance.now() - started) / 1000);
  }
  if (ways[0]!.loss !== ways[1]!.loss) throw new Error(`the losses differ: ${ways.map(({ loss }) => loss).join(', ')}`);
}
const [all, again] = ways.map(({ seconds }) => median(seconds)) as [number, number];
const [allBytes, againBytes] = [activationBytes(false), activationBytes(true)];
const round = (value: number, digits: number) => Number(value.toFixed(digits));
console.log(
  `GPT-2, 12 layers, batch ${batchSize} × ${length}, forward and backward, ${steps} steps each, losses equal`,
);
console.log(`all kept:       ${(allBytes / 1e6).toFixed(0)} MB of activations, ${all.toFixed(2)} s`);
console.log(`computed again: ${(againBytes / 1e6).toFixed(0)} MB of activations, ${again.toFixed(2)} s`);
console.log(
  JSON.stringify({
    bench: 'checkpointing',
    activation_mb: round(againBytes / 1e6, 0),
    activation_mb_all: round(allBytes / 1e6, 0),
    activation_ratio: round(againBytes / allBytes, 3),
    step_s: round(again, 2),
    step_s_all: round(all, 2),
    step_ratio: round(again / all, 2),
  }),
);
for (const { step } of ways) await step.release();
