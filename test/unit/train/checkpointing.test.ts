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
import { describe, expect, it } from 'vitest';

const config = (layers: number, hidden: number) => ({
  model_type: 'gpt2',
  vocab_size: 211,
  n_embd: hidden,
  n_layer: layers,
  n_head: 4,
  n_positions: 128,
  resid_pdrop: 0.1,
  embd_pdrop: 0.1,
  attn_pdrop: 0.1,
});

describe('gradient checkpointing', () => {
  it('gives the same loss and the same gradients, bit for bit, dropout included', async () => {
    const model = gpt2.parse(config(3, 32), 'config.json');
    const parameters = initializeParameters(model, 5);
    const engine = new NativeEngine(ops);
    const rows = [9, 14, 5].map((length, row) => {
      const ids = Int32Array.from({ length }, (_, i) => (7 * i + 31 * row) % 211);
      return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
    });
    const batch = collate(rows, { length: 16, padTokenId: 0 });
    const both = await Promise.all(
      [false, true].map(async (checkpointing) => {
        const gradients = new Arena(parameters.layout);
        const step = new TrainStep({ engine, newBuilder, model, parameters, gradients, checkpointing });
        const losses: number[] = [];
        for (const first of [true, false])
          losses.push(await step.accumulate(batch, { weight: 1 / 28, first, seed: first ? 3n : 4n }));
        await step.release();
        return { losses, gradients: gradients.data };
      }),
    );
    expect(both[1]!.losses).toEqual(both[0]!.losses);
    expect(both[0]!.gradients.some((value) => value !== 0)).toBe(true);
    expect(both[1]).toEqual(both[0]);
  });

  it('takes less than a quarter of the memory of twelve layers', () => {
    const model = gpt2.parse(config(12, 128), 'config.json');
    const trainable = new Set(model.parameters.map(({ name }) => name));
    const shape = { batch: 4, length: 64, tokens: 256 };
    const bytesOf = (graph: Graph) => planMemory(buildModel(optimize(graph, ops), ops), 1024).bytes;
    const [all, few] = [false, true].map((checkpointing) => {
      const options = { trainable, accumulate: false, checkpointing };
      const { forward, backward, buffers } = buildTraining(newBuilder('body'), model, shape, options);
      return layOut(buffers).bytes + Math.max(...[...forward, ...backward].map(bytesOf));
    });
    expect(few!).toBeLessThan(all! / 4);
  });
});
