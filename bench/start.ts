/**
 * How long a run's graphs take to build, optimise, plan and load before the first step, by the model's shape: forward,
 * backward and head of one batch shape. Weights are inputs: their size plays no part.
 *
 * usage: npm run bench -- start
 * Last line: `{bench, seconds: {shape: …}}`.
 */
import { createEngine } from '@runner/engine/createEngine';
import { planMemory } from '@runner/graph/memoryPlan';
import { buildModel, encodeModel } from '@runner/graph/onnx';
import { optimize } from '@runner/graph/passes/index';
import { buildHeadTraining, chunkSizes } from '@runner/heads/causalLm';
import { gpt2 } from '@runner/models/gpt2';
import { newBuilder, ops } from '@runner/ops/index';
import { buildTraining } from '@runner/train/bodyProgram';

const SHAPES = {
  '4 layers of 768': [4, 768, 8, 128],
  '12 layers of 768 (GPT-2 124M)': [12, 768, 4, 512],
  '48 layers of 1600 (GPT-2 XL)': [48, 1600, 1, 1024],
  '32 layers of 4096 (7 B weights)': [32, 4096, 1, 2048],
} as const;

const engine = await createEngine(ops);
const seconds: Record<string, number> = {};
for (const [name, [layers, hidden, batch, length]] of Object.entries(SHAPES)) {
  const config = { model_type: 'gpt2', vocab_size: 32000, n_embd: hidden, n_layer: layers, n_head: hidden / 64 };
  // As large models are trained.
  const dropouts = { attn_pdrop: 0, embd_pdrop: 0, resid_pdrop: 0 };
  const model = gpt2.parse({ ...config, ...dropouts, n_positions: 4096 }, 'config.json');
  const parts: Record<string, number> = {};
  let at = performance.now();
  const lap = (part: string) => {
    parts[part] = (parts[part] ?? 0) + (performance.now() - at) / 1000;
    at = performance.now();
  };
  const trainable = new Set(model.parameters.map((parameter) => parameter.name));
  const shape = { batch, length, tokens: batch * length };
  const { forward, backward } = buildTraining(newBuilder('body'), model, shape, {
    trainable,
    accumulate: false,
    checkpointing: false,
  });
  const head = newBuilder('head');
  buildHeadTraining(head, { rows: chunkSizes(shape.tokens, 32000)[0]!, hidden, vocab: 32000 }, 'first');
  lap('build and differentiate');
  for (const graph of [...forward, ...backward, head.graph]) {
    const optimized = optimize(graph, ops);
    lap('optimise');
    const built = buildModel(optimized, ops);
    const plan = planMemory(built);
    lap('plan memory');
    encodeModel(
      built.model,
      plan.values.map((value) => [value.name, value.type] as const),
    );
    lap('encode');
  }
  const graphs = [...forward, ...backward, head.graph];
  const whole = performance.now();
  const executables = await Promise.all(graphs.map((graph) => engine.compile(graph)));
  const compile = (performance.now() - whole) / 1000;
  for (const executable of executables) await executable.release();
  const again = (parts.optimise ?? 0) + (parts['plan memory'] ?? 0) + (parts.encode ?? 0);
  parts['load into ONNX Runtime'] = Math.max(0, compile - again);
  seconds[name] = Number(((parts['build and differentiate'] ?? 0) + compile).toFixed(2));
  const nodes = graphs.reduce((sum, graph) => sum + graph.nodes.length, 0);
  const told = Object.entries(parts).map(([part, took]) => `${part} ${took.toFixed(2)}`);
  console.log(`${name}: ${nodes} nodes, ${seconds[name]} s (${told.join(', ')})`);
}
console.log(JSON.stringify({ bench: 'start', seconds }));
