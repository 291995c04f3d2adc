/** A mistake in a model's graph is found when it is built, and the message leads to it. */
import { Graph } from '@runner/graph/ir';
import { newBuilder } from '@runner/ops';
import { describe, expect, it } from 'vitest';

describe('an error while building', () => {
  it('names the op and the place, so that one finds the line of the model', () => {
    const g = newBuilder('model');
    const x = g.input('x', 'float32', [2, 3]);
    expect(() => g.scope('h.3', () => g.scope('attn', () => g.matMul(x, x)))).toThrow(
      /^MatMul at h\.3\/attn: .*\[2, 3\].*\[2, 3\]/,
    );
    expect(() => g.reshape(x, [4, 2])).toThrow(/^Reshape at the top: cannot reshape \[2, 3\] to \[4, 2\]$/);
  });

  it('leaves no trace: the place is the outer one again and no node was added', () => {
    const g = newBuilder('model');
    const x = g.input('x', 'float32', [2, 3]);
    g.scope('h.0', () => {
      expect(() => g.scope('attn', () => g.matMul(x, x))).toThrow();
      g.tanh(x);
    });
    expect(g.graph.nodes.map(({ op, place }) => [op, place])).toEqual([['Tanh', 'h.0']]);
  });

  it('names an op that there is not', () => {
    const g = newBuilder('model');
    expect(() => g.apply('Tan', [g.input('x', 'float32', [1])])).toThrow('there is no op Tan');
  });

  it('refuses a second value, result or parameter of one name, of which one would be lost', () => {
    const g = newBuilder('model');
    const x = g.input('wte.weight', 'float32', [2]);
    expect(() => g.input('wte.weight', 'float32', [2])).toThrow('a value named wte.weight already');
    expect(() => g.graph.addExternal('wte.weight', x, { file: 'model.safetensors', offset: 0, length: 8 })).toThrow(
      'a value named wte.weight already',
    );
    g.output('y', x);
    expect(() => g.output('y', x)).toThrow('an output y already');
  });

  it('refuses a constant that does not fill its shape', () => {
    expect(() =>
      new Graph('model').addConstant(new Float32Array(5), { dtype: 'float32', shape: [2, 3] }, 'mask'),
    ).toThrow('constant mask has 5 elements, its shape [2, 3] wants 6');
  });
});

describe('what is written', () => {
  it('shares equal numbers but keeps 0 and −0, and types, apart', () => {
    const g = newBuilder('model');
    expect(g.scalar(0.5)).toBe(g.scalar(0.5));
    expect(g.scalar(0)).not.toBe(g.scalar(-0));
    expect(g.scalar(1)).not.toBe(g.scalar(1, 'int64'));
  });

  it('takes a number as the other operand’s type', () => {
    const g = newBuilder('model');
    const ids = g.input('ids', 'int64', [3]);
    expect(g.add(ids, 1)).toMatchObject({ dtype: 'int64', shape: [3] });
    expect(g.sub(1, g.input('x', 'float64', [3]))).toMatchObject({ dtype: 'float64', shape: [3] });
  });

  it('leaves out what does nothing: a reshape, expansion, cast or transpose to what is there', () => {
    const g = newBuilder('model');
    const x = g.input('x', 'float32', [2, 3]);
    expect([g.reshape(x, [2, 3]), g.expand(x, [2, 3]), g.cast(x, 'float32'), g.transpose(x, [0, 1])]).toEqual([
      x,
      x,
      x,
      x,
    ]);
    expect(g.sumTo(x, [2, 3])).toBe(x);
    expect(g.graph.nodes).toHaveLength(0);
  });

  it('sums back over every axis that was stretched, and over no other', () => {
    const g = newBuilder('model');
    const x = g.input('x', 'float32', [5, 2, 3, 1]);
    for (const shape of [[2, 3, 1], [2, 1, 1], [1, 1, 3, 1], [3, 1], [1], [], [5, 1, 3, 1]]) {
      expect(g.sumTo(x, shape).shape).toEqual(shape);
    }
    expect(g.graph.nodes.filter(({ op }) => op === 'ReduceSum').map(({ attributes }) => attributes.axes)).toEqual([
      [0],
      [0, 2],
      [0, 1],
      [0, 1],
      [0, 1, 2],
      [0, 1, 2, 3],
      [1],
    ]);
  });
});
