/**
 * One buffer for what lies in between: a plan that is wrong gives wrong numbers without a word, so it is held to what
 * ONNX Runtime does (its order of nodes), to a check of its own making (no two living values in one place), and to the
 * numbers that random graphs give.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Workspace } from '@runner/engine/workspace';
import { byteLength, type Graph, type TensorType } from '@runner/graph/ir';
import { executionOrder, type MemoryPlan, planMemory } from '@runner/graph/memoryPlan';
import { buildModel, encodeModel } from '@runner/graph/onnx';
import { optimize } from '@runner/graph/passes';
import { buildHeadTraining } from '@runner/heads/causalLm';
import { gptNeo } from '@runner/models/gptNeo';
import { newBuilder, ops } from '@runner/ops';
import { buildTraining } from '@runner/train/bodyProgram';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { randomGraph } from './randomGraph';
import { runGraph } from './support';

const NO_SIZE = 1;

const bytesOf = (graph: Graph) => planMemory(buildModel(graph, ops), NO_SIZE).bytes;

/** Products of 16 × 16: values of 1,024 bytes. */
function chain(name: string, build: (g: ReturnType<typeof newBuilder>, x: ReturnType<typeof square>) => unknown) {
  const g = newBuilder(name);
  build(g, square(g));
  return g.graph;
}
const square = (g: ReturnType<typeof newBuilder>) => g.input('x', 'float32', [16, 16]);

describe('the buffer', () => {
  it('has no place for what somebody else owns: inputs, constants and results', () => {
    const graph = chain('owned', (g, x) =>
      g.output('y', g.matMul(x, g.constant(new Float32Array(256), 'float32', [16, 16]))),
    );
    expect(bytesOf(graph)).toBe(0);
  });

  it('holds a value until its last reader, however many it has', () => {
    const neighbours = chain('neighbours', (g, x) => {
      const a = g.matMul(x, x);
      const b = g.matMul(a, a);
      const c = g.matMul(b, b);
      g.output('y', g.matMul(c, c));
    });
    expect(bytesOf(neighbours)).toBe(2048);
    const kept = chain('kept', (g, x) => {
      const first = g.matMul(x, x);
      const second = g.matMul(first, first);
      const third = g.matMul(second, second);
      g.output('y', g.matMul(third, first));
    });
    expect(bytesOf(kept)).toBe(3072);
  });

  it('has one place for what is computed in place, where nobody reads the operand any more', () => {
    const last = chain('in place', (g, x) => g.output('y', g.matMul(g.tanh(g.mul(g.matMul(x, x), x)), x)));
    expect(bytesOf(last)).toBe(1024);
    const read = chain('still read', (g, x) => {
      const product = g.matMul(x, x);
      g.output('y', g.matMul(g.tanh(product), product));
    });
    expect(bytesOf(read)).toBe(2048);
  });

  it('counts a reshaped value as the one that it is, also when that is read later under its new shape', () => {
    const graph = chain('reshaped', (g, x) => {
      const flat = g.reshape(g.matMul(x, x), [256]);
      const other = g.matMul(g.reshape(flat, [16, 16]), x);
      g.output('y', g.matMul(other, g.reshape(flat, [16, 16])));
    });
    expect(bytesOf(graph)).toBe(2048);
  });

  it('gives back each wide part before the next: five in a row need no more than one', () => {
    const peakOf = (parts: number) =>
      bytesOf(
        chain('parts', (g, x) => {
          let value = x;
          const [wide, back] = [g.input('wide', 'float32', [16, 1024]), g.input('back', 'float32', [1024, 16])];
          for (let i = 0; i < parts; i++) value = g.matMul(g.matMul(value, wide), back);
          g.output('y', g.exp(value));
        }),
      );
    expect(peakOf(1)).toBe(16 * 1024 * 4 + 1024);
    expect(peakOf(5)).toBe(peakOf(1));
  });
});

const GPT_NEO = {
  model_type: 'gpt_neo',
  vocab_size: 97,
  hidden_size: 16,
  num_layers: 2,
  num_heads: 2,
  attention_types: [[['global', 'local'], 1]],
  window_size: 4,
  max_position_embeddings: 32,
  intermediate_size: null,
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
  tie_word_embeddings: true,
  embed_dropout: 0.1,
  resid_dropout: 0.1,
  attention_dropout: 0.1,
};

function bodies(tokens: number, checkpointing = false): [string, Graph][] {
  const model = gptNeo.parse(GPT_NEO, 'config.json');
  const trainable = new Set(model.parameters.map(({ name }) => name));
  const shape = { batch: 2, length: 9, tokens };
  const { forward, backward } = buildTraining(newBuilder('body'), model, shape, {
    trainable,
    accumulate: true,
    checkpointing,
  });
  const how = checkpointing ? ', layers computed again' : '';
  return [
    [`forward of ${tokens} tokens${how}`, forward[0]!],
    [`backward of ${tokens} tokens${how}`, backward[0]!],
  ];
}

const head = newBuilder('head');
buildHeadTraining(head, { rows: 16, hidden: 8, vocab: 20_000 }, 'more');

describe('ONNX Runtime runs the nodes in the order that the plan takes for granted', () => {
  it.each([
    ...bodies(18),
    ...bodies(14),
    ...bodies(14, true),
    ['a head of three blocks', head.graph] as [string, Graph],
  ])('%s', async (_, graph) => {
    const { model, inner } = buildModel(optimize(graph, ops), ops);
    const nodes = model.graph!.node!;
    const expected = executionOrder(nodes).map((index) => nodes[index]!.name);
    // As the engine gives it: all that is planned is a result.
    expect(await orderOf(encodeModel(model, inner), graph)).toEqual(expected);
  });
});

describe('no two living values lie in one place', () => {
  it.each([...bodies(14), ...bodies(14, true)])('%s', (_, graph) => {
    const built = buildModel(optimize(graph, ops), ops);
    const plan = planMemory(built, NO_SIZE);
    expect(plan.values.length).toBeGreaterThan(30);
    expectApart(built.model.graph!.node!, plan);
  });

  it('of random graphs, which give the same numbers in a buffer that they share', async () => {
    const workspace = new Workspace();
    await fc.assert(
      fc.asyncProperty(randomGraph, async ({ graph, feeds }) => {
        const built = buildModel(graph, ops);
        const plan = planMemory(built, NO_SIZE);
        expectApart(built.model.graph!.node!, plan);
        expect(await runGraph(graph, feeds, { plan, workspace })).toEqual(await runGraph(graph, feeds));
      }),
      { numRuns: 100, seed: 1 },
    );
  });
});

/** Walks through the nodes and keeps book of who wrote each byte last: a reader must find what it is owed. */
function expectApart(nodes: Parameters<typeof executionOrder>[0], plan: MemoryPlan): void {
  const planned = new Map(plan.values.map((value) => [value.name, value]));
  const shapeOf = new Map<string, string>();
  const writer = new Array<string | undefined>(Math.ceil(plan.bytes / 64));
  for (const index of executionOrder(nodes)) {
    const { opType, input, output } = nodes[index]!;
    const owed = (name: string) => shapeOf.get(name) ?? name;
    for (const name of input!) {
      const value = planned.get(owed(name));
      if (!value) continue;
      for (let at = value.offset; at < value.offset + byteLength(value.type); at += 64) {
        expect(writer[at / 64], `${nodes[index]!.name} reads ${name}`).toBe(value.name);
      }
    }
    for (const name of output!) {
      const value = planned.get(name);
      if (!value) {
        if (opType === 'Reshape' || opType === 'Identity') shapeOf.set(name, owed(input![0]!));
        continue;
      }
      expect(value.offset % 64).toBe(0);
      expect(value.offset + byteLength(value.type)).toBeLessThanOrEqual(plan.bytes);
      for (let at = value.offset; at < value.offset + byteLength(value.type); at += 64) writer[at / 64] = name;
    }
  }
}

/** Names of the nodes in the order in which a profile says they were run. */
async function orderOf(model: Uint8Array, graph: Graph): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tuneyard-order-'));
  try {
    const session = await InferenceSession.create(model, {
      graphOptimizationLevel: 'disabled',
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
      enableProfiling: true,
      profileFilePrefix: join(folder, 'profile'),
    });
    const feeds = Object.fromEntries(graph.inputs.map((value) => [value.name, zeros(value)]));
    await session.run(feeds);
    session.endProfiling();
    await session.release();
    const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')) as {
      cat: string;
      name: string;
      ts: number;
    }[];
    return events
      .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
      .sort((a, b) => a.ts - b.ts)
      .map(({ name }) => name.replace(/_kernel_time$/, ''));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function zeros({ dtype, shape }: TensorType): Tensor {
  const size = shape.reduce((n, of) => n * of, 1);
  return dtype === 'int64'
    ? new Tensor('int64', new BigInt64Array(size), [...shape])
    : new Tensor('float32', new Float32Array(size), [...shape]);
}
