import { recipeSchema } from '@protocol/recipe';
import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
import { DeviceMemory, type RawMemory } from '@runner/engine/deviceMemory';
import type { Engine } from '@runner/engine/engine';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { newBuilder, ops } from '@runner/ops/index';
import { createGradientNorm } from '@runner/optim/gradientNorm';
import { createOptimizer, openTrainingMemory } from '@runner/optim/index';
import { Arena } from '@runner/train/arena';
import { TrainStep } from '@runner/train/trainStep';
import { describe, expect, it } from 'vitest';

const config = {
  model_type: 'gpt2',
  vocab_size: 300,
  n_embd: 48,
  n_layer: 2,
  n_head: 4,
  n_positions: 64,
  resid_pdrop: 0.1,
  embd_pdrop: 0,
  attn_pdrop: 0.1,
};
const model = gpt2.parse(config, 'config.json');

/** Ragged samples that repeat ids, part of them supervised. */
const batchOf = (salt: number) =>
  collate(
    [31, 12, 25].map((length, row) => {
      const inputIds = Int32Array.from({ length }, (_, i) => (i * i * 7 + salt * 13 + row) % 40);
      const labels = inputIds.map((id, i) => (i < 3 * row ? -100 : id));
      return { inputIds, labels, line: row + 1, truncated: false };
    }),
    { length: 32, padTokenId: 0 },
  );

interface Trained {
  losses: number[];
  norms: number[];
  evaluated: number;
  weights: Float32Array;
  bytes: number;
}

/** Three steps of two batches. @param poison what host arrays hold while training */
async function train(engine: Engine, optim: 'adamw' | 'adafactor', poison?: number): Promise<Trained> {
  const recipe = recipeSchema.parse({ model: 'm', dataset: 'd', optim, weight_decay: 0.1 });
  const { layout, data } = initializeParameters(model, 7);
  const memory = openTrainingMemory(layout, recipe, engine);
  const parameters = new Arena(layout, memory);
  parameters.data.set(data);
  const gradients = new Arena(layout, memory);
  await engine.memory?.adopt(parameters.data);
  engine.memory?.reserve(gradients.data);
  const step = new TrainStep({ engine, newBuilder, model, parameters, gradients });
  const shared = { engine, newBuilder, layout, recipe, parameters: parameters.data, gradients: gradients.data };
  const optimizer = await createOptimizer(optim, shared);
  const norm = await createGradientNorm(shared);
  if (poison !== undefined) for (const host of [parameters, gradients]) host.data.fill(poison);
  if (poison !== undefined) for (const { data } of optimizer.state) data.fill(poison);
  const [losses, norms]: [number[], number[]] = [[], []];
  for (let at = 0; at < 3; at++) {
    let loss = 0;
    for (const micro of [0, 1]) {
      const batch = batchOf(2 * at + micro);
      const seed = BigInt(2 * at + micro);
      loss += await step.accumulate(batch, { weight: 1 / 90, first: micro === 0, seed });
    }
    losses.push(loss);
    norms.push(await norm());
    await optimizer.step({ learningRate: 1e-2, gradientScale: 0.7, step: at + 1 });
  }
  const { loss: evaluated } = await step.evaluate(batchOf(9));
  if (poison !== undefined) expect(parameters.data.every((x) => x === poison)).toBe(true);
  const bytes = engine.memory?.bytes ?? 0;
  await engine.memory?.download(parameters.data);
  const weights = parameters.data.slice();
  await step.release();
  await optimizer.release();
  await norm.release();
  engine.memory?.release(parameters.data);
  engine.memory?.release(gradients.data);
  for (const { data } of optimizer.state) engine.memory?.release(data);
  return { losses, norms, evaluated, weights, bytes };
}

describe.each(['adamw', 'adafactor'] as const)('training in memory that JavaScript does not see (%s)', (optim) => {
  it('gives the same bits as on the host, reads nothing of it, and leaves nothing behind', async () => {
    const host = await train(await createEngine(ops), optim);
    const engine = await createEngine(ops, { memoryApart: true });
    expect(engine.memoryObstacle).toBeUndefined();
    const apart = await train(engine, optim, 12345);
    expect(apart.losses).toEqual(host.losses);
    // On the host a kernel adds up the squares, in an order of its own.
    apart.norms.forEach((norm, i) => {
      expect(Math.abs(norm / host.norms[i]! - 1)).toBeLessThan(1e-6);
    });
    expect(apart.evaluated).toBe(host.evaluated);
    expect(apart.weights).toEqual(host.weights);
    expect(apart.bytes).toBeGreaterThan(3 * host.weights.byteLength);
    expect(engine.memory!.bytes).toBe(0);

    // Where graphs are recorded, what comes from the host and goes there has its place on the device as well.
    const recording = await createEngine(ops, { memoryApart: true, record: true });
    expect(recording.recordingObstacle).toBeUndefined();
    const recorded = await train(recording, optim, 12345);
    expect(recorded.losses).toEqual(host.losses);
    expect(recorded.weights).toEqual(host.weights);
    expect(recorded.bytes).toBeGreaterThan(apart.bytes);
    expect(recording.memory!.bytes).toBe(0);
  });
});

describe('the device’s memory', () => {
  /** Of a device that has room for 1000 bytes. */
  function small() {
    const freed: bigint[] = [];
    let room = 1000;
    const raw: RawMemory = {
      name: 'Cpu',
      deviceId: 0,
      allocate: (bytes) => {
        if (bytes > room) throw new Error('out of memory while getting 0.00 GB of GPU 0: out of memory (CUDA error 2)');
        room -= bytes;
        return 4096n;
      },
      free: (address) => void freed.push(address),
      clear: () => {},
      copyIn: async () => {},
      copyOut: async () => {},
      use: () => {},
      stream: null,
      finish: async () => {},
    };
    return { memory: new DeviceMemory(raw), freed };
  }

  it('gives parts of an array their places in its twin', () => {
    const { memory, freed } = small();
    const array = new Float32Array(100);
    expect(memory.addressOf(array)).toBeUndefined();
    memory.reserve(array);
    memory.reserve(array.subarray(3));
    expect(memory.bytes).toBe(400);
    expect(memory.addressOf(array.subarray(5, 9))).toBe(4096n + 20n);
    memory.release(array);
    expect([memory.bytes, freed]).toEqual([0, [4096n]]);
  });

  it('says that there is no room, and what to do', () => {
    const { memory } = small();
    expect(() => memory.reserve(new Float32Array(1000))).toThrow(
      expect.objectContaining({
        code: 'out_of_memory',
        message: expect.stringContaining('per_device_train_batch_size'),
      }),
    );
    expect(memory.bytes).toBe(0);
  });
});

it('a machine without CUDA says why a GPU’s memory cannot be had', async () => {
  const { cudaMemory } = await import('@runner/engine/deviceMemory');
  const { loadKoffi } = await import('@runner/engine/loadKoffi');
  if (process.platform !== 'linux') return;
  expect(() => cudaMemory(loadKoffi(), 0)).toThrow('libcudart has not been loaded');
});
