import { vjp } from '@runner/autodiff/grad';
import { view } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import { layOut } from '@runner/engine/workspace';
import { planMemory } from '@runner/graph/memoryPlan';
import { buildModel } from '@runner/graph/onnx';
import { optimize } from '@runner/graph/passes/index';
import { causalAttention } from '@runner/models/attention';
import { gpt2 } from '@runner/models/gpt2';
import { newBuilder, ops } from '@runner/ops/index';
import { buildTraining } from '@runner/train/bodyProgram';
import { describe, expect, it } from 'vitest';

const [BATCH, LENGTH, HEADS, DIM] = [2, 48, 3, 4];
const engine = new NativeEngine(ops);

const numbers = (seed: number, size: number) =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(seed + 12.9898 * (i + 1)) * 1.3);
const range = (size: number) => Array.from({ length: size }, (_, i) => i);

/** The context, and the gradients of queries, keys and values for a given gradient of the context. */
async function attend(window: number, block: number, tokens = BATCH * LENGTH): Promise<Float32Array[]> {
  const g = newBuilder('attention');
  const shape = [tokens, HEADS, DIM];
  const inputs = ['q', 'k', 'v'].map((name) => g.input(name, 'float32', shape));
  const places = BATCH * LENGTH;
  const packing =
    tokens < places
      ? {
          rowOfPlace: g.input('row_of_place', 'int64', [places]),
          placeOfRow: g.input('place_of_row', 'int64', [tokens]),
        }
      : undefined;
  const attention = causalAttention(g, { batch: BATCH, length: LENGTH, packing, block });
  const context = attention(inputs[0]!, inputs[1]!, inputs[2]!, { layer: 0, scale: 0.5, window });
  const { gradients } = vjp(g, [context], [g.input('given', 'float32', context.shape)], inputs);
  const results = [context, ...gradients.map((gradient) => gradient!)];
  for (const [i, result] of results.entries()) g.output(`result${i}`, result);
  const executable = await engine.compile(g.graph);
  const size = tokens * HEADS * DIM;
  const feeds = {
    ...Object.fromEntries(['q', 'k', 'v'].map((name, i) => [name, view(numbers(i, size), shape)])),
    given: view(numbers(7, size), [tokens, HEADS * DIM]),
    // All of the first text, some of the second.
    ...(packing && {
      row_of_place: view(
        BigInt64Array.from(range(places), (place) => BigInt(Math.min(place, tokens))),
        [places],
      ),
      place_of_row: view(BigInt64Array.from(range(tokens), BigInt), [tokens]),
    }),
  };
  const outputs = results.map((result) => view(new Float32Array(size), result.shape));
  await executable.run(feeds, Object.fromEntries(outputs.map((output, i) => [`result${i}`, output])));
  await executable.release();
  return outputs.map(({ data }) => data as Float32Array);
}

/** The context as the textbook has it, in double precision. */
function plainContext(window: number): Float64Array {
  const [q, k, v] = [0, 1, 2].map((seed) => numbers(seed, BATCH * LENGTH * HEADS * DIM));
  const out = new Float64Array(q!.length);
  for (const text of range(BATCH)) {
    for (const head of range(HEADS)) {
      const at = (token: number, i: number) => ((text * LENGTH + token) * HEADS + head) * DIM + i;
      for (const i of range(LENGTH)) {
        const seen = range(LENGTH).filter((j) => j <= i && j > i - window);
        const weights = seen.map((j) =>
          Math.exp(0.5 * range(DIM).reduce((sum, c) => sum + q![at(i, c)]! * k![at(j, c)]!, 0)),
        );
        const total = weights.reduce((a, b) => a + b, 0);
        for (const [n, j] of seen.entries()) {
          for (const c of range(DIM)) out[at(i, c)]! += (weights[n]! / total) * v![at(j, c)]!;
        }
      }
    }
  }
  return out;
}

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe('attention by blocks of queries', () => {
  it.each([48, 40, 16, 7, 1])('with a window of %i tokens is what it is at once, gradients too', async (window) => {
    const whole = await attend(window, LENGTH);
    expect(largest(whole[0]!, plainContext(window))).toBeLessThan(1e-6);
    for (const block of [16, 13, 32]) {
      const blocks = await attend(window, block);
      for (const [i, result] of blocks.entries()) expect(largest(result, whole[i]!)).toBeLessThan(2e-6);
    }
  });

  it('computes real tokens only, where a batch is packed', async () => {
    const whole = await attend(20, LENGTH, 70);
    const blocks = await attend(20, 16, 70);
    for (const [i, result] of blocks.entries()) expect(largest(result, whole[i]!)).toBeLessThan(2e-6);
  });

  it.each([0, 0.1])('takes memory with the length, not with its square, with a dropout of %f', (attn_pdrop) => {
    const config = {
      model_type: 'gpt2',
      vocab_size: 211,
      n_embd: 64,
      n_layer: 2,
      n_head: 4,
      n_positions: 8192,
      attn_pdrop,
    };
    const model = gpt2.parse(config, 'config.json');
    const trainable = new Set(model.parameters.map(({ name }) => name));
    const [short, long] = [2048, 8192].map((length) => {
      const shape = { batch: 1, length, tokens: length };
      const graphs = buildTraining(newBuilder('body'), model, shape, {
        trainable,
        accumulate: false,
        checkpointing: false,
      });
      const work = [...graphs.forward, ...graphs.backward].map(
        (graph) => planMemory(buildModel(optimize(graph, ops), ops)).bytes,
      );
      return { saved: layOut(graphs.buffers).bytes, work: Math.max(...work) };
    });
    expect(long!.saved / short!.saved).toBeLessThan(4.01);
    // Six blocks of 512 × 8,192 scores for each of four heads; all scores at once would be sixteen.
    expect(long!.work).toBeLessThan(6 * 4 * 4 * 512 * 8192);
  });
});
