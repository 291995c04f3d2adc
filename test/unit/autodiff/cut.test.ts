import { cutGraph } from '@runner/autodiff/cut';
import { collate } from '@runner/data/collate';
import { createEngine } from '@runner/engine/createEngine';
import { type TensorView, view } from '@runner/engine/engine';
import { elementCount, type Graph } from '@runner/graph/ir';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { newBuilder, ops } from '@runner/ops/index';
import { Arena } from '@runner/train/arena';
import { buildTraining } from '@runner/train/bodyProgram';
import { bucketsOf } from '@runner/train/dataParallel';
import { TrainStep } from '@runner/train/trainStep';
import { describe, expect, it } from 'vitest';

describe('a graph cut in parts', () => {
  it('has what is made from a cut in a later part than it, and what depends on nothing where it is first read', () => {
    const g = newBuilder('chain');
    const from = g.input('from', 'float32', [4]);
    const w = g.input('w', 'float32', [4]);
    const free = g.exp(w);
    const first = g.mul(from, w);
    const side = g.neg(first);
    const second = g.add(first, free);
    g.output('side', side);
    g.output('end', g.mul(second, first));
    const { parts, carried } = cutGraph(g.graph, from, [first, second]);
    expect(parts.map(({ nodes }) => nodes.map(({ op }) => op))).toEqual([['Mul'], ['Exp', 'Neg', 'Add'], ['Mul']]);
    expect(parts.map(({ outputs }) => outputs.size)).toEqual([1, 2, 1]);
    expect([...carried.values()].map(({ shape }) => shape)).toEqual([[4], [4]]);
  });

  it('computes what the whole one does', async () => {
    const g = newBuilder('chain');
    const from = g.input('from', 'float32', [4]);
    const first = g.mul(from, g.input('w', 'float32', [4]));
    const second = g.add(first, from);
    g.output('end', g.mul(second, first));
    const engine = await createEngine(ops);
    const views: Record<string, TensorView> = {
      from: view(Float32Array.of(1, 2, 3, 4), [4]),
      w: view(Float32Array.of(5, 6, 7, 8), [4]),
    };
    const { parts, carried } = cutGraph(g.graph, from, [first, second]);
    for (const [name, { shape }] of carried) views[name] = view(new Float32Array(elementCount(shape)), shape);
    views.end = view(new Float32Array(4), [4]);
    for (const part of parts) {
      const executable = await engine.compile(part as Graph);
      await executable.run(views, views);
      await executable.release();
    }
    expect([...(views.end.data as Float32Array)]).toEqual([30, 168, 504, 1152]);
  });
});

const model = gpt2.parse(
  { model_type: 'gpt2', vocab_size: 120, n_embd: 32, n_layer: 5, n_head: 4, n_positions: 40, resid_pdrop: 0.1 },
  'config.json',
);

describe.each([false, true])('a backward half in parts (gradient checkpointing %s)', (checkpointing) => {
  it('has a part for so many layers, the upper ones first', () => {
    const trainable = new Set(model.parameters.map(({ name }) => name));
    const shape = { batch: 2, length: 16, tokens: 32 };
    const build = (parts: number) =>
      buildTraining(newBuilder('body'), model, shape, { trainable, accumulate: false, checkpointing, parts });
    expect(build(1).backward).toHaveLength(1);
    expect(build(99).backward).toHaveLength(5);
    const { backward } = build(3);
    const layersOf = (graph: Graph) =>
      [...new Set([...graph.outputs.keys()].flatMap((name) => /^grad:.*\.h\.(\d)\./.exec(name)?.[1] ?? []))].sort();
    expect(backward.map(layersOf)).toEqual([['3', '4'], ['2'], ['0', '1']]);
    // Nothing is computed again before it is needed.
    const computed = backward.map(
      ({ nodes }) => nodes.filter(({ op }) => op === 'Softmax' || op === 'FastGelu').length,
    );
    if (checkpointing) expect(computed.every((count) => count > 0)).toBe(true);
  });

  it('gives the gradients of the whole one to the bit, and says which are complete', async () => {
    const engine = await createEngine(ops);
    const batch = collate(
      [19, 30].map((length, row) => {
        const ids = Int32Array.from({ length }, (_, i) => (i * 17 + row) % 90);
        return { inputIds: ids, labels: ids, line: row + 1, truncated: false };
      }),
      { length: 32, padTokenId: 0 },
    );
    const results = [];
    const told: string[][] = [];
    for (const parts of [1, 4]) {
      const parameters = initializeParameters(model, 3);
      const gradients = new Arena(parameters.layout);
      const step = new TrainStep({ engine, newBuilder, model, parameters, gradients, checkpointing, parts });
      const options = { weight: 1 / batch.rows.length, seed: 5n };
      const early = new Map<string, Float32Array>();
      const completed = (names: readonly string[]) => {
        if (parts > 1) told.push([...names]);
        for (const name of names) early.set(name, gradients.slice(name).slice());
      };
      const losses = [
        await step.accumulate(batch, { ...options, first: true }),
        await step.accumulate(batch, { ...options, first: false, completed }),
      ];
      // What was said to be complete did not change any more.
      for (const { name } of parameters.layout.tensors) expect(early.get(name), name).toEqual(gradients.slice(name));
      results.push({ losses, gradients: gradients.data.slice() });
      await step.release();
    }
    expect(results[1]).toEqual(results[0]);
    expect(told).toHaveLength(4);
    expect(told[0]).toContain('transformer.h.4.mlp.c_fc.weight');
    expect(told[3]).toContain('transformer.wte.weight');
    expect(told.flat().sort()).toEqual(model.parameters.map(({ name }) => name).sort());
  });
});

describe('buckets of gradients', () => {
  it('cover the arena once, from the last weights to the embedding, then what does not decay', () => {
    const { layout } = initializeParameters(model, 1);
    const buckets = bucketsOf(layout, 5000);
    const sorted = [...buckets].sort((a, b) => a.from - b.from);
    expect(sorted[0]!.from).toBe(0);
    expect(sorted.at(-1)!.to).toBe(layout.size);
    sorted.slice(1).forEach(({ from }, i) => {
      expect(from).toBe(sorted[i]!.to);
    });
    expect(buckets[0]!.to).toBe(layout.decayed);
    expect(buckets[0]!.tensors.at(-1)).toBe('transformer.h.4.mlp.c_proj.weight');
    expect(buckets.flatMap(({ tensors }) => tensors).sort()).toEqual(layout.tensors.map(({ name }) => name).sort());
    const lastDecayed = buckets.findLast(({ to }) => to <= layout.decayed)!;
    expect(lastDecayed.tensors[0]).toBe('transformer.wte.weight');
    expect(buckets.at(-1)!.from).toBe(layout.decayed);
  });
});
