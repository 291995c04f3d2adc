/** What a recipe will need of memory and disk, computed from its graphs; and, if asked, measured on one real step. */
import { freemem } from 'node:os';
import { GPU_MIB, gpusThatFit } from '@protocol/gpuMemory';
import type { Recipe } from '@protocol/recipe';
import type { Estimate } from '@protocol/runner';
import { partsOf } from '../collectives/collective';
import { layOut } from '../engine/workspace';
import { byteLength, type Graph } from '../graph/ir';
import { planMemory } from '../graph/memoryPlan';
import { buildModel } from '../graph/onnx';
import { optimize } from '../graph/passes/index';

import { buildHeadTraining, chunkSizes, headShape } from '../heads/causalLm';
import { freeDiskBytes } from '../hub/diskSpace';
import { prepareMethod } from '../methods/index';
import { type PreparedMethod, parameterCount } from '../methods/method';
import type { CausalLm, ParameterSpec } from '../models/causalLm';
import { readingRoom } from '../models/loadModel';
import { newBuilder, ops } from '../ops/index';
import { isShardable, openTrainingMemory, optimizerStateSize } from '../optim/index';
import { Arena, type ArenaLayout, layoutArena } from '../train/arena';
import { type BatchShape, buildTraining } from '../train/bodyProgram';
import { bucketsOf, layoutOfPart } from '../train/dataParallel';
import { updatesOnHost } from '../train/offload';
import { TrainingPlan } from '../train/plan';
import { precisionOf, requirePrecision } from '../train/precision';
import { TrainStep } from '../train/trainStep';
import { WeightStream } from '../train/weightStream';

import { openParameters } from './openParameters';
import { prepareModel, prepareSamples } from './prepare';
import type { EstimateRequest } from './requests';

/** Node, ONNX Runtime's library and our own code, before any model: measured on Linux x64. */
const PROCESS_BYTES = 190e6;

/** @throws TuneyardError what opening model and data throws */
export async function estimateJob(request: EstimateRequest): Promise<Estimate> {
  const { recipe, signal } = request;
  const prepared = await prepareModel(recipe.model, { ...request, revision: recipe.revision });
  const { padTokenId } = prepared;
  const method = prepareMethod(prepared.bare, recipe, prepared.base, (text) => prepared.tokenizer.encodeStart(text));
  const { model } = method;
  const samples = await prepareSamples(recipe, { ...prepared, model }, request);
  const { maxLength, train } = samples;
  const plan = new TrainingPlan({ recipe, train, maxLength, padTokenId, front: model.front });
  const layout = layoutArena(model.parameters.filter(({ name }) => method.trainable.has(name)));
  const largest = plan.largestBatch();
  const shape = { ...largest, tokens: largest.batch * largest.length };
  const supervised = mostSupervised(plan);
  const memory = graphMemory(model, layout, shape, supervised, recipe, 'whole');

  const weights = model.parameters.reduce((sum, spec) => sum + bytesOf(spec), 0);
  const trained = 4 * layout.size;
  const moments = 4 * optimizerStateSize(recipe.optim, layout, recipe);
  const isSharded = recipe.world_size > 1 && recipe.zero_stage > 0 && isShardable(recipe.optim);
  const part = isSharded ? layoutOfPart(layout, partsOf(layout.size, recipe.world_size)[0]!) : layout;
  const optimizer = 4 * optimizerStateSize(recipe.optim, part, recipe);
  const gradientBytes = isSharded && recipe.zero_stage === 2 ? ownGradientBytes(layout, part) : trained;
  const data = samples.train.reduce((sum, { inputIds, labels }) => sum + inputIds.byteLength + labels.byteLength, 0);
  const processBytes = PROCESS_BYTES + data + readingBytes(method);
  const count = ({ tensors }: ArenaLayout) => tensors.reduce((sum, { size }) => sum + size, 0);
  const checkpoint = trained + moments;
  const estimate: Estimate = {
    model: recipe.model,
    parameters: parameterCount(prepared.bare, method),
    trainable_parameters: count(layout),
    batch: shape.batch,
    length: shape.length,
    weights_bytes: weights,
    gradients_bytes: gradientBytes,
    optimizer_bytes: optimizer,
    activations_bytes: memory.saved,
    working_bytes: memory.working,
    ...(updatesOnHost(recipe) && { offloaded_bytes: optimizer }),
    process_bytes: processBytes,
    peak_bytes: weights + gradientBytes + optimizer + memory.saved + memory.working + processBytes,
    checkpoint_bytes: checkpoint,
    disk_bytes: checkpoint * savedCheckpoints(recipe, plan) + trained,
    free_memory_bytes: freemem(),
    free_disk_bytes: await freeDiskBytes(request.runDir),
    total_steps: plan.totalSteps,
  };
  // Building the graphs layer by layer takes its time.
  const fitting = gpusThatFit({ ...estimate, offloaded_bytes: optimizer });
  if (recipe.offload_param || fitting.length < Object.keys(GPU_MIB).length) {
    const streamed = graphMemory(model, layout, shape, supervised, recipe, 'byLayer');
    const onGpu = streamed.window + streamed.saved + streamed.working;
    estimate.offloadable_bytes = estimate.peak_bytes - processBytes - onGpu;
    if (recipe.offload_param) estimate.offloaded_bytes = estimate.offloadable_bytes;
  }
  if (!request.measure) return estimate;

  // Only here: counting goes without ONNX Runtime, so that the editor can do it before anything is installed.
  const { openEngine } = await import('../engine/openEngine');
  const engine = await openEngine(recipe.device, { tf32: recipe.tf32, record: recipe.cuda_graphs });
  requirePrecision(engine, precisionOf(recipe));
  const arenas = openTrainingMemory(layout, recipe, engine);
  const { trained: arena, parameters } = await openParameters(prepared, method, recipe, arenas, signal);
  const gradients = new Arena(layout, arenas);
  const resident = recipe.offload_param ? undefined : engine.memory;
  for (const { data } of parameters.arenas) await resident?.adopt(data);
  resident?.reserve(gradients.data);
  const step = new TrainStep({
    engine,
    newBuilder,
    model,
    parameters,
    gradients,
    checkpointing: recipe.gradient_checkpointing,
    precision: precisionOf(recipe),
    ...(engine.memory && !resident && { stream: new WeightStream(engine.memory, parameters, gradients) }),
  });
  const { openUpdates } = await import('./openUpdates');
  const { optimizer: optimizerRun, gradientNorm: norm } = await openUpdates(recipe, engine, undefined, {
    layout,
    parameters: arena.data,
    gradients: gradients.data,
  });
  try {
    // The first step compiles; the second is what a step costs.
    let seconds = 0;
    for (let at = 0; at < 2; at++) {
      const started = performance.now();
      const batches = plan.batches(at % plan.stepsPerEpoch);
      const total = batches.reduce((sum, batch) => sum + batch.rows.length, 0);
      for (const [i, batch] of batches.entries())
        await step.accumulate(batch, { weight: 1 / total, first: i === 0, seed: 0n });
      await norm();
      await optimizerRun.step({ learningRate: recipe.learning_rate, gradientScale: 1, step: at + 1 });
      seconds = (performance.now() - started) / 1000;
    }
    return { ...estimate, measured: { peak_bytes: process.resourceUsage().maxRSS * 1024, step_seconds: seconds } };
  } finally {
    await step.release();
    await optimizerRun.release();
    await norm.release();
  }
}

/**
 * Bytes kept between forward and backward, and bytes that the allocators of the graphs' sessions hold; by layer: also the
 * most that is needed of weights and gradients at a time.
 */
function graphMemory(
  model: CausalLm,
  layout: ArenaLayout,
  shape: BatchShape,
  supervised: number,
  recipe: Recipe,
  how: 'whole' | 'byLayer',
) {
  const trainable = new Set(layout.tensors.map(({ name }) => name));
  const modes = recipe.gradient_accumulation_steps > 1 ? [false, true] : [false];
  let saved = 0;
  // One buffer for all graphs, one after the other, as the engine plans it.
  let working = 0;
  const runs = (graph: Graph) => {
    const optimized = optimize(graph, ops);
    const scratch = optimized.nodes.map((node) => ops.get(node.op)?.scratchBytes?.(node) ?? 0);
    working = Math.max(working, planMemory(buildModel(optimized, ops)).bytes + Math.max(0, ...scratch));
  };
  const sizes = new Map(model.parameters.map((spec) => [spec.name, bytesOf(spec)]));
  const head = 2 * sizes.get(model.headWeight)!;
  const usedBy = ({ inputs, outputs }: Graph) =>
    [...inputs.map(({ name }) => name), ...[...outputs.keys()].map((name) => name.replace(/^grad:/, ''))].reduce(
      (sum, name) => sum + (sizes.get(name) ?? 0),
      0,
    );
  let window = head;
  for (const accumulate of modes) {
    const graphs = buildTraining(newBuilder('body', precisionOf(recipe)), model, shape, {
      trainable,
      accumulate,
      checkpointing: recipe.gradient_checkpointing,
      ...(how === 'byLayer' && { parts: how }),
    });
    saved = layOut(new Map([...graphs.buffers, ...graphs.carried])).bytes;
    for (const part of [...graphs.forward, ...graphs.backward]) {
      runs(part);
      window = Math.max(window, usedBy(part));
    }
  }
  const chunks = chunkSizes(supervised, model.vocabSize);
  const kinds = new Set(chunks.map((rows, i) => `${rows} ${i > 0 || modes.length > 1}`));
  for (const kind of kinds) {
    const [rows, more] = kind.split(' ') as [string, string];
    const g = newBuilder('head', precisionOf(recipe));
    const mode = more === 'true' ? 'more' : 'first';
    buildHeadTraining(g, headShape(model, Number(rows)), trainable.has(model.headWeight) ? mode : 'frozen');
    runs(g.graph);
  }
  // Hidden states and their gradient live outside the graphs.
  const hidden = 2 * 4 * shape.batch * shape.length * model.hiddenSize;
  return { saved, working: working + hidden, window };
}

/**
 * A rank's own part, the embedding and what does not decay, which are complete at the very end, and two more buckets: one
 * is computed while the other is on its way.
 */
function ownGradientBytes(layout: ArenaLayout, part: ArenaLayout): number {
  const sizes = bucketsOf(layout).map(({ from, to }) => to - from);
  const [rest = 0, embedding = 0, ...others] = sizes.reverse();
  const largest = Math.max(0, ...others);
  return 4 * Math.min(layout.size + part.size, part.size + rest + embedding + 2 * largest);
}

/** Whole matrices that are read before they are held in few bits. JavaScript gives such memory back when it likes. */
const readingBytes = ({ quantized }: PreparedMethod): number => (quantized ? readingRoom(quantized.matrices).bytes : 0);

const bytesOf = ({ dtype, shape }: ParameterSpec): number => byteLength({ dtype: dtype ?? 'float32', shape });

function mostSupervised(plan: TrainingPlan): number {
  let most = 1;
  for (let step = 0; step < Math.min(plan.stepsPerEpoch, 200); step++) {
    for (const batch of plan.batches(step)) most = Math.max(most, batch.rows.length);
  }
  return most;
}

function savedCheckpoints(recipe: Recipe, plan: TrainingPlan): number {
  if (recipe.save_strategy === 'no') return 0;
  const every = recipe.save_strategy === 'epoch' ? plan.stepsPerEpoch : recipe.save_steps;
  const saves = Math.ceil(plan.totalSteps / every);
  // One more while the next is being written.
  return Math.min(saves, (recipe.save_total_limit ?? saves) + 1);
}
