/**
 * What each pass is for: that the work it saves is gone from the graph. That results stay the same is shown on random
 * graphs (randomGraphs.test.ts).
 */
import { Builder } from '@runner/graph/builder';
import type { Graph } from '@runner/graph/ir';
import { optimize } from '@runner/graph/passes';
import { commonSubexpressions } from '@runner/graph/passes/commonSubexpressions';
import { deadCode } from '@runner/graph/passes/deadCode';
import { foldConstants } from '@runner/graph/passes/foldConstants';
import { foldTransposes } from '@runner/graph/passes/foldTransposes';
import { fuseGemm } from '@runner/graph/passes/fuseGemm';
import { hoistRowScales } from '@runner/graph/passes/hoistRowScales';
import { orientProducts } from '@runner/graph/passes/orientProducts';
import { newBuilder, ops } from '@runner/ops';
import { describe, expect, it } from 'vitest';
import { opCounts, runGraph } from './support';

const hoist = (graph: Graph) => deadCode(hoistRowScales(graph, (to) => new Builder(ops, to)));

/** Of each node of an op: what it reads, by name, and its attributes. */
const nodesOf = (graph: Graph, op: string) =>
  graph.nodes
    .filter((node) => node.op === op)
    .map(({ inputs, attributes }) => ({ inputs: inputs.map((input) => input?.name), attributes }));

describe('dead code', () => {
  it('goes, with constants that only it read; inputs stay, for they are how a graph is called', () => {
    const g = newBuilder('dead');
    const x = g.input('x', 'float32', [2]);
    g.input('unused', 'float32', [3]);
    g.exp(g.mul(x, g.constant(Float32Array.of(1, 2), 'float32', [2])));
    g.output('y', g.tanh(x));
    const after = deadCode(g.graph);
    expect(opCounts(after)).toEqual({ Tanh: 1 });
    expect(after.constants).toEqual([]);
    expect(after.inputs.map(({ name }) => name)).toEqual(['x', 'unused']);
  });

  it('keeps a node of which one of several results is read', () => {
    const g = newBuilder('dead');
    const [, right] = g.split(g.input('x', 'float32', [4]), [1, 3], 0);
    g.output('y', right!);
    expect(opCounts(deadCode(g.graph))).toEqual({ Split: 1 });
  });
});

describe('common subexpressions', () => {
  it('are computed once, however far up they are the same', () => {
    const g = newBuilder('same');
    const x = g.input('x', 'float32', [2]);
    const once = () => g.mul(g.tanh(x), g.constant(Float32Array.of(1, 2), 'float32', [2]));
    g.output('y', g.add(once(), g.neg(once())));
    const after = deadCode(commonSubexpressions(g.graph));
    expect(opCounts(after)).toEqual({ Tanh: 1, Mul: 1, Neg: 1, Add: 1 });
    expect(after.constants).toHaveLength(1);
  });

  it('are not what differs in an attribute, in the order of operands, or in a constant’s type or shape', () => {
    const g = newBuilder('different');
    const x = g.input('x', 'float32', [2, 2]);
    const y = g.input('y', 'float32', [2, 2]);
    const bits = Float32Array.of(1, 2);
    const all = [
      g.softmax(x, 0),
      g.softmax(x, 1),
      g.sub(x, y),
      g.sub(y, x),
      g.add(x, g.constant(bits, 'float32', [2])),
      g.add(x, g.constant(bits, 'float32', [2, 1])),
      g.cast(g.constant(new Int32Array(bits.buffer), 'int32', [2]), 'float64'),
      g.cast(g.constant(bits, 'float32', [2]), 'float64'),
    ];
    all.forEach((value, i) => {
      g.output(`y${i}`, value);
    });
    expect(commonSubexpressions(g.graph).nodes).toHaveLength(all.length);
  });

  it('leave two dropouts apart: each has a mask of its own', () => {
    const g = newBuilder('dropout');
    const x = g.input('x', 'float32', [4]);
    const seed = g.input('seed', 'int64', []);
    const dropped = (layer: number) => g.mul(x, g.apply('DropoutMask', [seed], { shape: [4], p: 0.5, layer }));
    g.output('y', g.add(dropped(0), dropped(1)));
    expect(opCounts(commonSubexpressions(g.graph)).DropoutMask).toBe(2);
  });
});

describe('constant folding', () => {
  it('computes what depends on constants alone, chains included', () => {
    const g = newBuilder('fold');
    const half = g.div(g.scalar(1), 2);
    const row = g.reshape(g.mul(half, g.constant(Float32Array.of(2, 4), 'float32', [2])), [1, 2]);
    g.output('y', g.add(g.input('x', 'float32', [3, 2]), row));
    const after = foldConstants(g.graph, ops);
    expect(opCounts(after)).toEqual({ Add: 1 });
    const addend = after.nodes[0]!.inputs[1]!;
    expect(addend.shape).toEqual([1, 2]);
    expect(addend.source).toMatchObject({ kind: 'constant', data: Float32Array.of(1, 2) });
  });

  it('does not write large results into the model', () => {
    const g = newBuilder('large');
    g.output('y', g.add(g.constant(new Float32Array(70_000), 'float32', [70_000]), 1));
    expect(opCounts(foldConstants(g.graph, ops))).toEqual({ Add: 1 });
  });
});

describe('transposes of a product’s operands', () => {
  it('become flags of Gemm, or undo a flag that is there', () => {
    const g = newBuilder('gemm');
    const [a, b, c] = [
      g.input('a', 'float32', [2, 3]),
      g.input('b', 'float32', [2, 4]),
      g.input('c', 'float32', [5, 3]),
    ];
    const turned = g.transpose(a, [1, 0]);
    g.output('y', g.gemm(turned, b));
    g.output('z', g.gemm(turned, g.transpose(c, [1, 0]), null, { transA: true }));
    const after = deadCode(foldTransposes(g.graph));
    expect(nodesOf(after, 'Gemm')).toEqual([
      { inputs: ['a', 'b'], attributes: { transA: 1, transB: 0 } },
      { inputs: ['a', 'c'], attributes: { transA: 0, transB: 1 } },
    ]);
    expect(opCounts(after)).toEqual({ Gemm: 2 });
  });

  it('make a batched product a FusedMatMul, whose alpha stays', () => {
    const g = newBuilder('batched');
    const [q, k] = [g.input('q', 'float32', [2, 5, 3]), g.input('k', 'float32', [2, 7, 3])];
    const turned = g.transpose(k, [0, 2, 1]);
    g.output('scores', g.matMul(q, turned));
    g.output('scaled', g.fusedMatMul(q, turned, { alpha: 0.25 }));
    const after = deadCode(foldTransposes(g.graph));
    expect(nodesOf(after, 'FusedMatMul')).toEqual([
      { inputs: ['q', 'k'], attributes: { alpha: 1, transA: 0, transB: 1 } },
      { inputs: ['q', 'k'], attributes: { alpha: 0.25, transA: 0, transB: 1 } },
    ]);
    expect(opCounts(after)).toEqual({ FusedMatMul: 2 });
  });

  it('stay where they do more than swap the last two dimensions', () => {
    const g = newBuilder('heads');
    const q = g.transpose(g.input('q', 'float32', [4, 2, 3]), [1, 0, 2]);
    g.output('y', g.matMul(q, g.input('k', 'float32', [2, 3, 4])));
    expect(opCounts(foldTransposes(g.graph))).toEqual({ Transpose: 1, MatMul: 1 });
  });
});

describe('a sum with a product', () => {
  const graph = () => {
    const g = newBuilder('sum');
    return { g, product: g.gemm(g.input('x', 'float32', [2, 3]), g.input('w', 'float32', [3, 4]), null) };
  };

  it.each([
    ['a bias', [4]],
    ['a residual', [2, 4]],
  ])('takes %s in as C, on either side', (_, shape) => {
    for (const turned of [false, true]) {
      const { g, product } = graph();
      const c = g.input('c', 'float32', shape);
      g.output('y', turned ? g.add(c, product) : g.add(product, c));
      const after = fuseGemm(g.graph);
      expect(nodesOf(after, 'Gemm').map(({ inputs }) => inputs)).toEqual([['x', 'w', 'c']]);
      expect(opCounts(after)).toEqual({ Gemm: 1 });
    }
  });

  it('of two products becomes one that adds to the other: gradients of a shared weight cost no pass', () => {
    const { g, product } = graph();
    g.output('y', g.add(product, g.gemm(g.input('a', 'float32', [2, 5]), g.input('b', 'float32', [5, 4]))));
    const after = fuseGemm(g.graph);
    expect(opCounts(after)).toEqual({ Gemm: 2 });
    const [earlier, later] = nodesOf(after, 'Gemm').map(({ inputs }) => inputs);
    expect(earlier).toEqual(['x', 'w']);
    expect(later).toEqual(['a', 'b', after.nodes[0]!.outputs[0]!.name]);
  });

  it('is left alone where somebody else reads the product, C is taken, or the sum is larger than the product', () => {
    const read = graph();
    read.g.output('product', read.product);
    read.g.output('y', read.g.add(read.product, read.g.input('c', 'float32', [4])));
    expect(opCounts(fuseGemm(read.g.graph))).toEqual({ Gemm: 1, Add: 1 });

    const taken = graph();
    const bias = taken.g.input('c', 'float32', [4]);
    const biased = taken.g.gemm(taken.product, taken.g.input('v', 'float32', [4, 4]), bias);
    taken.g.output('y', taken.g.add(biased, bias));
    expect(opCounts(fuseGemm(taken.g.graph))).toEqual({ Gemm: 2, Add: 1 });

    const stretched = newBuilder('stretched');
    const row = stretched.gemm(stretched.input('x', 'float32', [1, 3]), stretched.input('w', 'float32', [3, 4]));
    stretched.output('y', stretched.add(row, stretched.input('c', 'float32', [2, 4])));
    expect(opCounts(fuseGemm(stretched.graph))).toEqual({ Gemm: 1, Add: 1 });

    const larger = graph();
    larger.g.output('y', larger.g.add(larger.product, larger.g.input('c', 'float32', [3, 2, 4])));
    expect(opCounts(fuseGemm(larger.g.graph))).toEqual({ Gemm: 1, Add: 1 });
  });
});

describe('a scale of rows', () => {
  const TOKENS = 4;
  const [HIDDEN, VOCABULARY] = [3, 50];

  function scaledLogits() {
    const g = newBuilder('head');
    const logits = g.input('logits', 'float32', [TOKENS, VOCABULARY]);
    return { g, scaled: g.mul(logits, g.input('weights', 'float32', [TOKENS, 1])) };
  }

  it('moves off the vocabulary: to the product where rows are rows of it, to the other operand where they are summed', () => {
    const { g, scaled } = scaledLogits();
    g.output('d_hidden', g.gemm(scaled, g.input('table', 'float32', [VOCABULARY, HIDDEN])));
    g.output('d_table', g.gemm(scaled, g.input('hidden', 'float32', [TOKENS, HIDDEN]), null, { transA: true }));
    const after = hoist(g.graph);
    expect(after.nodes.filter(({ op }) => op === 'Mul').map(({ outputs }) => outputs[0]!.shape)).toEqual([
      [TOKENS, HIDDEN],
      [TOKENS, HIDDEN],
    ]);
    expect(nodesOf(after, 'Gemm').map(({ inputs }) => inputs[0])).toEqual(['logits', 'logits']);
  });

  it('stays where the product is the wider one', () => {
    const g = newBuilder('narrow');
    const scaled = g.mul(g.input('x', 'float32', [TOKENS, HIDDEN]), g.input('weights', 'float32', [TOKENS, 1]));
    g.output('y', g.gemm(scaled, g.input('w', 'float32', [HIDDEN, VOCABULARY])));
    expect(hoist(g.graph).nodes.map(({ op }) => op)).toEqual(['Mul', 'Gemm']);
  });

  it('stays where the other operand is transposed: its rows are not the summed ones', () => {
    const { g, scaled } = scaledLogits();
    const transposed = g.input('hidden', 'float32', [HIDDEN, TOKENS]);
    g.output('y', g.gemm(scaled, transposed, null, { transA: true, transB: true }));
    expect(hoist(g.graph).nodes.map(({ op }) => op)).toEqual(['Mul', 'Gemm']);
  });

  it('stays where it is summed over and the other operand is the wider one', () => {
    const g = newBuilder('wide');
    const scaled = g.mul(g.input('x', 'float32', [TOKENS, HIDDEN]), g.input('weights', 'float32', [TOKENS, 1]));
    g.output('y', g.gemm(scaled, g.input('w', 'float32', [TOKENS, VOCABULARY]), null, { transA: true }));
    expect(nodesOf(hoist(g.graph), 'Mul').map(({ inputs }) => inputs)).toEqual([['x', 'weights']]);
  });

  it('does not touch a summand: only the product is scaled', () => {
    const { g, scaled } = scaledLogits();
    g.output('y', g.gemm(scaled, g.input('table', 'float32', [VOCABULARY, HIDDEN]), g.input('c', 'float32', [HIDDEN])));
    expect(nodesOf(hoist(g.graph), 'Gemm')[0]!.inputs.at(-1)).toBe('c');
  });

  it('does not move to rows of a transposed operand, which are not the rows it scales', async () => {
    const g = newBuilder('both transposed');
    const scaled = g.mul(g.input('x', 'float32', [2, 4]), g.input('weights', 'float32', [2, 1]));
    g.output('y', g.gemm(scaled, g.input('w', 'float32', [2, 2]), null, { transA: true, transB: true }));
    const feeds = {
      x: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      weights: Float32Array.of(2, 3),
      w: Float32Array.of(1, 10, 100, 1000),
    };
    expect(await runGraph(hoist(g.graph), feeds)).toEqual({
      y: [2 + 150, 200 + 15_000, 4 + 180, 400 + 18_000, 6 + 210, 600 + 21_000, 8 + 240, 800 + 24_000],
    });
  });

  it('keeps the product’s alpha', () => {
    const { g, scaled } = scaledLogits();
    g.output('y', g.apply('Gemm', [scaled, g.input('table', 'float32', [VOCABULARY, HIDDEN])], { alpha: 0.5 }));
    expect(nodesOf(hoist(g.graph), 'Gemm')[0]!.attributes).toMatchObject({ alpha: 0.5 });
  });
});

describe('all passes', () => {
  it('make a layer as it is written one Gemm with flags and bias', () => {
    const g = newBuilder('linear');
    const x = g.input('x', 'float32', [2, 3]);
    const weight = g.input('weight', 'float32', [4, 3]);
    const product = () => g.gemm(x, g.transpose(weight, [1, 0]));
    g.output('y', g.add(product(), g.input('bias', 'float32', [4])));
    g.exp(product());
    const after = optimize(g.graph, ops);
    expect(opCounts(after)).toEqual({ Gemm: 1 });
    expect(nodesOf(after, 'Gemm')).toEqual([{ inputs: ['x', 'weight', 'bias'], attributes: { transA: 0, transB: 1 } }]);
  });

  it('leave frozen weights in their file', () => {
    const g = newBuilder('frozen');
    const external = { file: 'model.safetensors', offset: 11, length: 48 };
    const weight = g.graph.addExternal('weight', { dtype: 'float32', shape: [3, 4] }, external);
    g.output('y', g.gemm(g.input('x', 'float32', [2, 3]), weight));
    expect(optimize(g.graph, ops).constants).toMatchObject([
      { name: 'weight', source: { kind: 'external', external } },
    ]);
  });
});

describe('products with a transposed left operand', () => {
  const orient = (graph: Graph) => deadCode(orientProducts(graph, (to) => new Builder(ops, to)));
  const product = (rows: number, columns: number, more: { transB?: boolean; addend?: boolean } = {}) => {
    const { transB = false, addend = false } = more;
    const g = newBuilder('product');
    const a = g.input('a', 'float32', [256, rows]);
    const b = g.input('b', 'float32', transB ? [columns, 256] : [256, columns]);
    const c = addend ? [g.input('c', 'float32', [rows, columns])] : [];
    g.output('y', g.apply('Gemm', [a, b, ...c], { transA: 1, transB: transB ? 1 : 0, alpha: 0.5 }));
    return g.graph;
  };

  it('are left alone where the result is small or the inner dimension short', () => {
    expect(opCounts(orient(product(512, 512)))).toEqual({ Gemm: 1 });
    const g = newBuilder('thin');
    const [a, b] = [g.input('a', 'float32', [64, 4096]), g.input('b', 'float32', [64, 4096])];
    g.output('y', g.gemm(a, b, null, { transA: true }));
    expect(opCounts(orient(g.graph))).toEqual({ Gemm: 1 });
  });

  it('get a copy of that operand where the result is large, and are turned over where it is tall and very large', () => {
    expect(nodesOf(orient(product(1024, 2048)), 'Gemm')[0]!.attributes).toMatchObject({ transA: 0, alpha: 0.5 });
    expect(opCounts(orient(product(1024, 2048, { addend: true })))).toEqual({ Transpose: 1, Gemm: 1 });
    expect(opCounts(orient(product(8192, 512)))).toEqual({ Transpose: 2, Gemm: 1 });
    expect(opCounts(orient(product(8192, 512, { transB: true, addend: true })))).toEqual({
      Transpose: 1,
      Gemm: 1,
      Add: 1,
    });
  });

  it.each([
    ['copied', product(1024, 2048, { addend: true })],
    ['turned over', product(8192, 512, { addend: true })],
    ['turned over, with the right one transposed', product(8192, 512, { transB: true })],
  ])('give what they gave: %s', async (_, graph) => {
    // Whole numbers: their sums are exact in any order.
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, shape }) => [
        name,
        Float32Array.from({ length: shape[0]! * shape[1]! }, (_value, i) => ((i * 7919) % 13) - 6),
      ]),
    );
    const [before, after] = [await runGraph(graph, feeds), await runGraph(orient(graph), feeds)];
    expect(after.y!.every((value, i) => value === before.y![i])).toBe(true);
  });
});
