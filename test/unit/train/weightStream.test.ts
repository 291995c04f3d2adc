import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
import type { Engine } from '@runner/engine/engine';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena } from '@runner/train/arena';
import { TrainStep } from '@runner/train/trainStep';
import { WeightStream } from '@runner/train/weightStream';
import { describe, expect, it } from 'vitest';

/** A head of its own, and layers that outweigh the embedding. */
const config = {
  model_type: 'gpt2',
  vocab_size: 200,
  n_embd: 48,
  n_layer: 8,
  n_head: 4,
  n_positions: 40,
  resid_pdrop: 0.1,
  tie_word_embeddings: false,
};

const batch = collate(
  [31, 12, 25].map((length, row) => {
    const inputIds = Int32Array.from({ length }, (_, i) => (i * i * 7 + row) % 40);
    const labels = inputIds.map((id, i) => (i < 3 * row ? -100 : id));
    return { inputIds, labels, line: row + 1, truncated: false };
  }),
  { length: 32, padTokenId: 0 },
);
const nothing = { ...batch, rows: batch.rows.subarray(0, 0), targets: batch.targets.subarray(0, 0) };

interface Options {
  readonly tied: boolean;
  readonly checkpointing: boolean;
  readonly precision: 'float32' | 'bfloat16';
  readonly isStreamed: boolean;
}

async function train(engine: Engine, { tied, checkpointing, precision, isStreamed }: Options) {
  const model = gpt2.parse({ ...config, tie_word_embeddings: tied }, 'config.json');
  const parameters = initializeParameters(model, 7);
  const gradients = new Arena(parameters.layout);
  const stream = isStreamed ? new WeightStream(engine.memory!, parameters, gradients) : undefined;
  const step = new TrainStep({
    ...{ engine, newBuilder, model, parameters, gradients, checkpointing, precision },
    ...(stream && { stream }),
  });
  const losses: number[] = [];
  const kept: Float32Array[] = [];
  let bytes = 0;
  // Gradients from before count as much as those of the first batch: not at all where that replaces them.
  gradients.data.fill(1000);
  for (const first of [true, false]) {
    losses.push(await step.accumulate(batch, { weight: 1 / 60, first, seed: first ? 1n : 2n }));
    kept.push(gradients.data.slice());
    bytes = Math.max(bytes, engine.memory?.bytes ?? 0);
  }
  losses.push(await step.accumulate(nothing, { weight: 1 / 60, first: true, seed: 3n }));
  kept.push(gradients.data.slice());
  losses.push((await step.evaluate(batch)).loss);
  await step.release();
  return { losses, kept, bytes, whole: parameters.data.byteLength };
}

describe.each([
  { tied: true, checkpointing: false, precision: 'float32' },
  { tied: false, checkpointing: true, precision: 'float32' },
  { tied: false, checkpointing: false, precision: 'bfloat16' },
] as const)('weights that come a layer at a time (%o)', (options) => {
  it('give the same bits as those that stay, in a part of the memory, and leave nothing behind', async () => {
    const there = await train(await createEngine(ops), { ...options, isStreamed: false });
    const engine = await createEngine(ops, { memoryApart: true });
    const streamed = await train(engine, { ...options, isStreamed: true });
    expect(streamed.losses).toEqual(there.losses);
    streamed.kept.forEach((gradients, i) => {
      expect(gradients).toEqual(there.kept[i]);
    });
    // Nothing to learn: the gradients of a step are none, whatever was there.
    expect(streamed.kept[2]!.every((value) => value === 0)).toBe(true);
    expect(engine.memory!.bytes).toBe(0);
    // Of weights and gradients half at most, with what passes between the layers.
    const stays = await train(engine, { ...options, isStreamed: false });
    expect(streamed.bytes).toBeLessThan(stays.bytes + stays.whole);
  });
});
