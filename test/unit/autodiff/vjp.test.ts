/** The driver of differentiation: what it adds up, sums back, prunes, keeps sparse and refuses. The rules are tested with the ops. */
import { grad, vjp } from '@runner/autodiff/grad';
import type { Builder } from '@runner/graph/builder';
import type { Value } from '@runner/graph/ir';
import { newBuilder } from '@runner/ops';
import { describe, expect, it } from 'vitest';
import { opCounts, runGraph } from '../graph/support';
import type { Data } from '../ops/support';

/** The gradients of `output`, weighted by `cotangent`, as numbers. */
async function gradients(
  g: Builder,
  output: Value,
  cotangent: readonly number[],
  wrt: readonly Value[],
  feeds: Record<string, Data>,
): Promise<(number[] | null)[]> {
  const dy = g.input('dy', 'float32', output.shape);
  const found = vjp(g, [output], [dy], wrt).gradients;
  found.forEach((gradient, i) => {
    if (!gradient) return;
    expect(gradient.shape).toEqual(wrt[i]!.shape);
    g.output(`d${i}`, gradient);
  });
  const results = await runGraph(g.graph, { ...feeds, dy: Float32Array.from(cotangent) });
  return found.map((gradient, i) => (gradient ? results[`d${i}`]! : null));
}

describe('a value that is used many times', () => {
  it('gets the sum of what every use gives, also where one op reads it twice', async () => {
    const g = newBuilder('fan-out');
    const x = g.input('x', 'float32', [2]);
    // x² + 3x + x·x² → 2x + 3 + 3x²
    const square = g.mul(x, x);
    const y = g.add(g.add(square, g.mul(x, 3)), g.mul(x, square));
    expect(await gradients(g, y, [1, 10], [x], { x: Float32Array.of(2, -1) })).toEqual([[19, 40]]);
  });

  it('and is a result itself, also gets the result’s own gradient', async () => {
    const g = newBuilder('both');
    const x = g.input('x', 'float32', [1]);
    const y = g.mul(x, 2);
    const z = g.mul(y, 5);
    const { gradients: found } = vjp(
      g,
      [y, z],
      [g.scalar(1), g.scalar(1)].map((one) => g.reshape(one, [1])),
      [x, y],
    );
    g.output('dx', found[0]!);
    g.output('dy', found[1]!);
    expect(await runGraph(g.graph, { x: Float32Array.of(1) })).toEqual({ dx: [12], dy: [6] });
  });
});

describe('an operand that was stretched', () => {
  it('gets its gradient summed over what it was stretched to: bias, column, scalar', async () => {
    const g = newBuilder('broadcast');
    const [bias, column] = [g.input('bias', 'float32', [3]), g.input('column', 'float32', [2, 1])];
    const scalar = g.input('scalar', 'float32', []);
    const y = g.mul(g.add(bias, column), scalar);
    const feeds = { bias: Float32Array.of(1, 2, 3), column: Float32Array.of(10, 20), scalar: Float32Array.of(2) };
    expect(await gradients(g, y, [1, 2, 3, 4, 5, 6], [bias, column, scalar], feeds)).toEqual([
      [10, 14, 18],
      [12, 30],
      // Σ dy · (bias + column)
      [11 + 24 + 39 + 84 + 110 + 138],
    ]);
  });
});

describe('pruning', () => {
  /** Two layers and a bias. */
  function network() {
    const g = newBuilder('pruned');
    const x = g.input('x', 'float32', [2, 3]);
    const [first, second] = [g.input('first', 'float32', [3, 4]), g.input('second', 'float32', [4, 5])];
    const bias = g.input('bias', 'float32', [5]);
    const y = g.add(g.matMul(g.tanh(g.matMul(x, first)), second), bias);
    const written = g.graph.nodes.length;
    const by = (...wrt: Value[]) => {
      const dy = g.input('dy', 'float32', y.shape);
      const found = vjp(g, [y], [dy], wrt).gradients;
      return { found, added: g.graph.nodes.slice(written).map(({ op }) => op) };
    };
    return { x, first, second, bias, by };
  }

  it('computes nothing where nothing is asked for', () => {
    expect(network().by().added).toEqual([]);
  });

  it('computes no product for frozen weights above or beside what is trained', () => {
    const bias = network();
    expect(bias.by(bias.bias).added).toEqual(['ReduceSum']);
    const second = network();
    // One product: the weight's own. Neither the input of the layer nor the layers before are differentiated.
    expect(second.by(second.second).added).toEqual(['Gemm']);
  });

  it('goes through a frozen layer to one that is trained, without the frozen one’s own gradient', () => {
    const { first, by } = network();
    expect(by(first).added.filter((op) => op === 'Gemm')).toHaveLength(2);
  });

  it('gives null for a parameter that nothing depends on', () => {
    const { bias, by } = network();
    const other = newBuilder('other').input('unused', 'float32', [2]);
    const { found } = by(other, bias);
    expect(found[0]).toBeNull();
    expect(found[1]).not.toBeNull();
  });

  it('stops at a value in between that is asked for', () => {
    const g = newBuilder('middle');
    const x = g.input('x', 'float32', [2]);
    const middle = g.tanh(x);
    const y = g.mul(middle, 3);
    const before = g.graph.nodes.length;
    vjp(g, [y], [g.ones([2])], [middle]);
    expect(g.graph.nodes.slice(before).map(({ op }) => op)).toEqual(['Expand', 'Mul']);
  });

  it('lets no gradient through whole numbers, and computes none above a look-up by them', () => {
    const g = newBuilder('ids');
    const x = g.input('x', 'float32', [2]);
    const looked = g.gather(g.input('table', 'float32', [4, 3]), g.cast(x, 'int64'));
    const y = g.tanh(looked);
    const dy = g.input('dy', 'float32', [2, 3]);
    const before = g.graph.nodes.length;
    expect(vjp(g, [y], [dy], [x]).gradients).toEqual([null]);
    expect(g.graph.nodes).toHaveLength(before);
  });
});

describe('row-sparse gradients', () => {
  it('of a tied table are one part a look-up, and the head’s full gradient beside them; together they are all', async () => {
    const table = Float32Array.from({ length: 8 }, (_, i) => i - 3);
    const build = (g: Builder) => {
      const weight = g.input('table', 'float32', [4, 2]);
      const a = g.gather(weight, g.constant(BigInt64Array.of(1n, 1n, 3n), 'int64', [3]));
      const b = g.gather(weight, g.constant(BigInt64Array.of(1n), 'int64', [1]));
      return { weight, y: g.gemm(g.add(a, b), weight, null, { transB: true }) };
    };
    const full = newBuilder('full');
    const dense = build(full);
    const cotangent = Array.from({ length: 12 }, (_, i) => (i % 5) - 2);
    const [expected] = await gradients(full, dense.y, cotangent, [dense.weight], { table });

    const g = newBuilder('sparse');
    const { weight, y } = build(g);
    const dy = g.input('dy', 'float32', y.shape);
    const { gradients: found, sparse } = vjp(g, [y], [dy], [weight], { rowSparse: new Set([weight]) });
    const parts = sparse.get(weight)!;
    expect(parts.map(({ rows }) => rows.shape).sort()).toEqual([
      [1, 2],
      [3, 2],
    ]);
    expect(opCounts(g.graph).ScatterElements).toBeUndefined();
    g.output('head', found[0]!);
    parts.forEach(({ indices, rows }, i) => {
      g.output(`indices${i}`, indices);
      g.output(`rows${i}`, rows);
    });
    const results = await runGraph(g.graph, { table, dy: Float32Array.from(cotangent) });
    const sum = [...results.head!];
    parts.forEach((_, i) => {
      results[`indices${i}`]!.forEach((row, at) => {
        for (let j = 0; j < 2; j++) sum[row * 2 + j]! += results[`rows${i}`]![at * 2 + j]!;
      });
    });
    expect(sum).toEqual(expected);
  });
});

describe('what cannot be differentiated', () => {
  it('is an error that names the op and its place', () => {
    const g = newBuilder('refused');
    const x = g.input('x', 'float32', [3]);
    const indices = g.constant(BigInt64Array.of(1n), 'int64', [1, 1]);
    const y = g.scope('h.2', () => g.scope('attn', () => g.apply('GatherND', [x, indices])));
    expect(() => vjp(g, [y], [g.ones([1])], [x])).toThrow(/^GatherND at h\.2\/attn cannot be differentiated: \S/);
  });

  it('does not matter where nobody asks for it', () => {
    const g = newBuilder('frozen');
    const [x, bias] = [g.input('x', 'float32', [3]), g.input('bias', 'float32', [1])];
    const y = g.add(g.apply('GatherND', [x, g.constant(BigInt64Array.of(1n), 'int64', [1, 1])]), bias);
    expect(vjp(g, [y], [g.ones([1])], [bias]).gradients[0]).not.toBeNull();
  });

  it('is the gradient of more than one number: grad wants a scalar', () => {
    const g = newBuilder('scalar');
    const x = g.input('x', 'float32', [3]);
    expect(() => grad(g, x, [x])).toThrow('grad wants a scalar');
    expect(grad(g, g.reduceSum(x, [0]), [x]).gradients[0]!.shape).toEqual([3]);
  });
});

it('nodes of a gradient say which part of the model they are the gradient of', () => {
  const g = newBuilder('places');
  const x = g.input('x', 'float32', [2]);
  const y = g.scope('h.1', () => g.exp(x));
  const before = g.graph.nodes.length;
  const dy = g.input('dy', 'float32', [2]);
  vjp(g, [y], [dy], [x]);
  expect(g.graph.nodes.slice(before).map(({ place }) => place)).toEqual(['grad(h.1)']);
});
