/**
 * One training step by the length of its sequence: GPT-2's shape (124 M, or fewer layers), forward and backward. Memory
 * must grow with the length, not with its square.
 *
 * usage: npm run bench -- attention [--length 1024] [--batch 1] [--layers 12] [--steps 2] [--checkpointing]
 * Last line: `{bench, length, step_s, activation_mb, peak_rss_gb, loss}`.
 */
import { parseArgs } from 'node:util';
import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
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

const { values } = parseArgs({
  options: {
    length: { type: 'string', default: '1024' },
    batch: { type: 'string', default: '1' },
    layers: { type: 'string', default: '12' },
    steps: { type: 'string', default: '2' },
    checkpointing: { type: 'boolean', default: false },
  },
});
const [length, batchSize, layers, steps] = [values.length, values.batch, values.layers, values.steps].map(Number) as [
  number,
  number,
  number,
  number,
];
const { checkpointing } = values;
const config = { model_type: 'gpt2', vocab_size: 50257, n_embd: 768, n_layer: layers, n_head: 12 };
const model = gpt2.parse({ ...config, n_positions: Math.max(length, 1024) }, 'config.json');

const trainable = new Set(model.parameters.map(({ name }) => name));
const shape = { batch: batchSize, length, tokens: batchSize * length };
const graphs = buildTraining(newBuilder('body'), model, shape, { trainable, accumulate: false, checkpointing });
const workOf = (graph: Graph) => planMemory(buildModel(optimize(graph, ops), ops)).bytes;
const saved = layOut(graphs.buffers).bytes;
const work = Math.max(...[...graphs.forward, ...graphs.backward].map(workOf));
console.log(`kept ${(saved / 1e6).toFixed(0)} MB, worked in ${(work / 1e6).toFixed(0)} MB`);

const parameters = initializeParameters(model, 1);
const gradients = new Arena(parameters.layout);
const engine = await createEngine(ops);
const step = new TrainStep({ engine, newBuilder, model, parameters, gradients, checkpointing });
const batch = collate(
  Array.from({ length: batchSize }, (_, row) => {
    const ids = Int32Array.from({ length }, (_, i) => (i * 7919 + row * 31) % model.vocabSize);
    return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
  }),
  { length, padTokenId: 0 },
);
let seconds = 0;
let loss = 0;
for (let at = 0; at < steps; at++) {
  const started = performance.now();
  loss = await step.accumulate(batch, { weight: 1 / batch.rows.length, first: true, seed: 0n });
  seconds = (performance.now() - started) / 1000;
  console.log(`step ${at + 1}: ${seconds.toFixed(2)} s, loss ${loss}`);
}
console.log(
  JSON.stringify({
    bench: 'attention',
    length,
    step_s: Number(seconds.toFixed(2)),
    activation_mb: Math.round((saved + work) / 1e6),
    peak_rss_gb: Number((process.resourceUsage().maxRSS / 1e6).toFixed(2)),
    loss,
  }),
);
