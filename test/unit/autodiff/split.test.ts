/** A step cut in two must learn what the whole would, and keep in between no more than it has to. */

import { vjp } from '@runner/autodiff/grad';
import { splitForwardBackward } from '@runner/autodiff/split';
import { Builder } from '@runner/graph/builder';
import { type Graph, isFloat } from '@runner/graph/ir';
import { newBuilder, ops } from '@runner/ops';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomGraph } from '../graph/randomGraph';
import { opCounts, runGraph } from '../graph/support';
import { type Data, typed } from '../ops/support';

/** Runs the halves one after the other, handing over what was saved. @returns results of both */
async function runSplit(
  { forward, backward, saved }: ReturnType<typeof splitForwardBackward>,
  feeds: Record<string, Data>,
): Promise<Record<string, number[]>> {
  const first = await runGraph(forward, feeds);
  const handed: Record<string, Data> = { ...feeds };
  for (const { buffer, input, shape } of saved) {
    const value = forward.outputs.get(buffer)!;
    expect(backward.inputs.find(({ name }) => name === input)).toMatchObject({ dtype: value.dtype, shape });
    handed[input] = typed(value.dtype, first[buffer]!);
  }
  const buffers = new Set(saved.map(({ buffer }) => buffer));
  const results = Object.entries(first).filter(([name]) => !buffers.has(name));
  return { ...Object.fromEntries(results), ...(await runGraph(backward, handed)) };
}

/** Writes the gradient by every input; results of the forward half keep their names. */
function differentiated(g: Builder): { graph: Graph; forwardCount: number; forwardOutputs: Set<string> } {
  const { graph } = g;
  const forwardCount = graph.nodes.length;
  const forwardOutputs = new Set(graph.outputs.keys());
  const results = [...graph.outputs.values()];
  const wrt = graph.inputs.filter(({ dtype }) => isFloat(dtype));
  const cotangents = results.map(({ shape }) =>
    g.constant(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), 'float32', shape),
  );
  vjp(g, results, cotangents, wrt).gradients.forEach((gradient, i) => {
    if (gradient) g.output(`grad:${wrt[i]!.name}`, gradient);
  });
  return { graph, forwardCount, forwardOutputs };
}

const split = ({ graph, forwardCount, forwardOutputs }: ReturnType<typeof differentiated>) =>
  splitForwardBackward(graph, forwardCount, forwardOutputs);

describe('a step in two halves', () => {
  it('gives the results and gradients of the whole, on any graph', async () => {
    await fc.assert(
      fc.asyncProperty(randomGraph, async ({ graph, feeds }) => {
        const whole = differentiated(new Builder(ops, graph));
        expect(await runSplit(split(whole), feeds)).toEqual(await runGraph(whole.graph, feeds));
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it('gives the same where some values are kept and the others computed again', async () => {
    await fc.assert(
      fc.asyncProperty(randomGraph, fc.infiniteStream(fc.boolean()), async ({ graph, feeds }, choices) => {
        const { forwardCount, forwardOutputs } = differentiated(new Builder(ops, graph));
        const made = graph.nodes.slice(0, forwardCount).flatMap(({ outputs }) => outputs);
        const kept = new Set(made.filter(() => choices.next().value));
        const halves = splitForwardBackward(graph, forwardCount, forwardOutputs, kept);
        const buffers = new Set(halves.saved.map(({ buffer }) => buffer));
        expect(buffers.size).toBeLessThanOrEqual(kept.size);
        expect(await runSplit(halves, feeds)).toEqual(await runGraph(graph, feeds));
      }),
      { numRuns: 100, seed: 2 },
    );
  });

  it('has forward results in the forward half alone, and everything else in the other', () => {
    const g = newBuilder('halves');
    g.output('y', g.exp(g.input('x', 'float32', [2])));
    const { forward, backward, saved } = split(differentiated(g));
    expect([...forward.outputs.keys()]).toEqual(['y', ...saved.map(({ buffer }) => buffer)]);
    expect([...backward.outputs.keys()]).toEqual(['grad:x']);
    expect(opCounts(forward)).toEqual({ Exp: 1 });
    expect(opCounts(backward)).toEqual({ Mul: 1 });
  });
});

describe('what is kept in between', () => {
  it('is nothing where the gradient reads nothing', () => {
    const g = newBuilder('sum');
    g.output('y', g.add(g.input('x', 'float32', [2, 3]), g.input('bias', 'float32', [3])));
    expect(split(differentiated(g)).saved).toEqual([]);
  });

  it('is nothing for a gradient that no result of the backward half needs', () => {
    const g = newBuilder('unread');
    const x = g.input('x', 'float32', [2, 3]);
    const [wide, y] = [g.exp(x), g.add(x, 1)];
    g.output('y', y);
    const forwardCount = g.graph.nodes.length;
    g.mul(wide, wide);
    g.output('grad:x', vjp(g, [y], [g.input('dy', 'float32', [2, 3])], [x]).gradients[0]!);
    const halves = splitForwardBackward(g.graph, forwardCount, new Set(['y']));
    expect(halves.saved).toEqual([]);
    expect(halves.backward.nodes).toEqual([]);
  });

  it('is no input and no parameter: backward is given those anyway', () => {
    const g = newBuilder('linear');
    g.output('y', g.matMul(g.input('x', 'float32', [2, 3]), g.input('w', 'float32', [3, 4])));
    const { backward, saved } = split(differentiated(g));
    expect(saved).toEqual([]);
    expect(backward.inputs.map(({ name }) => name).sort()).toEqual(['w', 'x']);
  });

  it('is one buffer for a value and all its reshapes', async () => {
    const g = newBuilder('reshapes');
    const hidden = g.tanh(g.input('x', 'float32', [2, 6]));
    const [rows, flat] = [g.reshape(hidden, [3, 4]), g.reshape(g.reshape(hidden, [4, 3]), [12])];
    g.output('y', g.add(g.mul(g.reshape(flat, [3, 4]), rows), g.mul(rows, rows)));
    g.output('z', g.mul(flat, flat));
    const whole = differentiated(g);
    const halves = split(whole);
    expect(new Set(halves.saved.map(({ buffer }) => buffer)).size).toBe(1);
    expect(new Set(halves.saved.map(({ shape }) => shape.join('x')))).toEqual(new Set(['2x6', '3x4', '12']));
    const feeds = { x: Float32Array.from({ length: 12 }, (_, i) => i / 8 - 0.7) };
    expect(await runSplit(halves, feeds)).toEqual(await runGraph(whole.graph, feeds));
  });

  it('is dropout’s mask: drawn once, it drops the same elements of the gradient', async () => {
    const g = newBuilder('dropout');
    const x = g.input('x', 'float32', [8, 16]);
    const mask = g.apply('DropoutMask', [g.input('seed', 'int64', [])], { shape: [8, 16], p: 0.5, layer: 0 });
    g.output('y', g.mul(x, mask));
    const halves = split(differentiated(g));
    expect(opCounts(halves.forward).DropoutMask).toBe(1);
    expect(opCounts(halves.backward).DropoutMask).toBeUndefined();
    expect(halves.backward.inputs.map(({ name }) => name)).not.toContain('seed');
    const results = await runSplit(halves, { x: new Float32Array(128).fill(1), seed: BigInt64Array.of(5n) });
    // For x = 1 and dy = 1 both are the mask.
    expect(results['grad:x']).toEqual(results.y);
    expect(new Set(results.y)).toEqual(new Set([0, 2]));
  });
});
