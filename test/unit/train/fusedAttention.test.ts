import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
import { optimize } from '@runner/graph/passes/index';
import { gpt2 } from '@runner/models/gpt2';
import { gptNeo } from '@runner/models/gptNeo';
import { initializeParameters } from '@runner/models/initialize';
import { llama } from '@runner/models/llama';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena } from '@runner/train/arena';
import { buildTraining } from '@runner/train/bodyProgram';
import { TrainStep } from '@runner/train/trainStep';
import { describe, expect, it } from 'vitest';

const GPT2 = { model_type: 'gpt2', vocab_size: 90, n_embd: 24, n_layer: 2, n_head: 3, n_positions: 400, attn_pdrop: 0 };
const without = gpt2.parse(GPT2, 'config.json');
const withDropout = gpt2.parse({ ...GPT2, attn_pdrop: 0.1 }, 'config.json');
const windowed = gptNeo.parse(
  {
    ...{ model_type: 'gpt_neo', vocab_size: 90, hidden_size: 24, num_layers: 2, num_heads: 3, window_size: 8 },
    max_position_embeddings: 400,
  },
  'config.json',
);
const grouped = llama.parse(
  {
    ...{ model_type: 'llama', vocab_size: 90, hidden_size: 24, intermediate_size: 40, num_hidden_layers: 2 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 400 },
  },
  'config.json',
);

const graphsOf = (model: typeof without, fused: boolean, length = 300) => {
  const shape = { batch: 2, length, tokens: 2 * length - 70 };
  const names = new Set(model.parameters.map(({ name }) => name));
  const options = { trainable: names, accumulate: false, checkpointing: false, fused };
  return buildTraining(newBuilder('body'), model, shape, options);
};
const count = (graphs: ReturnType<typeof graphsOf>['forward'], op: string) =>
  graphs.flatMap((graph) => optimize(graph, ops).nodes).filter((node) => node.op === op).length;

describe('attention by one kernel', () => {
  it('writes no scores forwards, and keeps nothing of them', () => {
    const [written, fused] = [false, true].map((on) => graphsOf(without, on));
    expect([count(fused!.forward, 'MultiHeadAttention'), count(fused!.forward, 'Softmax')]).toEqual([2, 0]);
    expect(count(written!.forward, 'Softmax')).toBeGreaterThan(0);
    // A short text's probabilities are kept where the kernel does not compute them.
    const short = graphsOf(without, true, 100);
    expect([...short.buffers.values()].some(({ shape }) => shape.join() === '2,3,100,100')).toBe(false);
    expect(count(short.backward, 'Softmax')).toBe(2);
  });

  it.each([
    ['dropout of probabilities', withDropout, 0],
    ['layers that see a window', windowed, 1],
    ['heads that share keys', grouped, 0],
  ])('is left to what can do more: %s', (_, model, kernels) => {
    expect(count(graphsOf(model, true).forward, 'MultiHeadAttention')).toBe(kernels);
  });

  it.each([100, 300])('gives the losses and gradients of what is written out, over %i tokens', async (length) => {
    const batch = collate(
      [length, length - 40].map((size, row) => {
        const ids = Int32Array.from({ length: size }, (_, i) => (i * 17 + row) % 90);
        return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
      }),
      { length, padTokenId: 0 },
    );
    const results = [];
    for (const fuseAttention of [false, true]) {
      for (const checkpointing of [false, true]) {
        const engine = await createEngine(ops, { fuseAttention });
        expect(engine.fusesAttention).toBe(fuseAttention);
        const parameters = initializeParameters(without, 3);
        const gradients = new Arena(parameters.layout);
        const step = new TrainStep({ engine, newBuilder, model: without, parameters, gradients, checkpointing });
        const loss = await step.accumulate(batch, { weight: 1 / batch.rows.length, first: true, seed: 1n });
        const evaluated = (await step.evaluate(batch)).loss / batch.rows.length;
        results.push({ loss, evaluated, gradients: gradients.data });
        await step.release();
      }
    }
    const [first, ...others] = results;
    const largest = Math.max(...first!.gradients.map(Math.abs));
    for (const { loss, evaluated, gradients } of others) {
      expect(loss / first!.loss).toBeCloseTo(1, 5);
      expect(evaluated / first!.evaluated).toBeCloseTo(1, 5);
      expect(Math.max(...gradients.map((value, i) => Math.abs(value - first!.gradients[i]!))) / largest).toBeLessThan(
        1e-5,
      );
    }
  });
});
