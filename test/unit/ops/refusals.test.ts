/** What an op refuses is said when the graph is built, not found in a wrong result: which op, where, and what it wants. */
import { vjp } from '@runner/autodiff/grad';
import { Random } from '@runner/data/random';
import type { Builder } from '@runner/graph/builder';
import type { Value } from '@runner/graph/ir';
import { newBuilder, ops } from '@runner/ops';
import { describe, expect, it } from 'vitest';
import { exampleGraph } from './support';

const float = (g: Builder, ...shape: number[]): Value => g.zeros(shape);
const whole = (g: Builder, ...shape: number[]): Value => g.zeros(shape, 'int64');

const REFUSED: Record<string, [(g: Builder) => unknown, RegExp]> = {
  'matrices that do not fit': [
    (g) => g.matMul(float(g, 2, 3), float(g, 4, 5)),
    /MatMul at h\.0\/mlp: .*\[2, 3\].*\[4, 5\].*3 columns, 4 rows/,
  ],
  'transposed matrices that do not fit': [
    (g) => g.fusedMatMul(float(g, 2, 3), float(g, 3, 5), { transB: true }),
    /3 columns, 5 rows/,
  ],
  'operands of two types': [(g) => g.add(float(g, 2), whole(g, 2)), /float32 and int64/],
  'a summand that would enlarge the product': [
    (g) => g.gemm(float(g, 1, 3), float(g, 3, 2), float(g, 4, 2)),
    /\[4, 2\] does not fit \[1, 2\]/,
  ],
  'adding with ScatterND, which races': [
    (g) => g.apply('ScatterND', [float(g, 4), whole(g, 2, 1), float(g, 2)], { reduction: 'add' }),
    /several threads.*use ScatterElements/,
  ],
  'adding at indices of another shape': [
    (g) => g.scatterAdd(float(g, 4), whole(g, 2), float(g, 3), 0),
    /\[2\] and updates \[3\] differ/,
  ],
  'looking up at real numbers': [
    (g) => g.gather(float(g, 4), float(g, 2)),
    /indices must be int64 or int32, not float32/,
  ],
  'joining what does not fit': [
    (g) => g.concat([float(g, 2, 3), float(g, 2, 4)], 0),
    /\[2, 4\] does not join \[2, 3\] along axis 0/,
  ],
  'pieces that do not add up': [(g) => g.split(float(g, 5), [2, 2], 0), /do not make up axis 0/],
  'a slice of nothing': [(g) => g.slice(float(g, 5), [0], [3], [3]), /takes nothing of axis 0/],
  'an axis that is not there': [(g) => g.softmax(float(g, 2, 3), 2), /axis 2/],
  'an expansion to fewer dimensions': [(g) => g.expand(float(g, 2, 3), [3]), /does not expand/],
  'a permutation that forgets a dimension': [
    (g) => g.transpose(float(g, 2, 3), [0, 0]),
    /does not name each dimension/,
  ],
  'a condition that is a number': [(g) => g.where(float(g, 2), 1, float(g, 2)), /condition must be bool/],
  'dropping everything': [
    (g) => g.node('DropoutMask', [whole(g)], { shape: [2], p: 1, layer: 0 }),
    /p must lie between 0 and 1/,
  ],
  'dropping nothing': [(g) => g.node('DropoutMask', [whole(g)], { shape: [2], p: 0, layer: 0 }), /leave the node out/],
  'scale and bias of another width': [
    (g) => g.layerNorm(float(g, 2, 4), float(g, 3), float(g, 4), 1e-5),
    /must be \[4\], not \[3\]/,
  ],
  'the root of a whole number': [(g) => g.sqrt(whole(g, 2)), /wants real numbers, got int64/],
  'shifting a signed number': [
    (g) => g.apply('BitShift', [whole(g, 2), whole(g)], { direction: 'LEFT' }),
    /must be uint8 or uint32 or uint64/,
  ],
};

describe('building a graph', () => {
  it.each(Object.entries(REFUSED))('refuses %s', (_, [build, message]) => {
    const g = newBuilder('refused');
    expect(() => g.scope('h.0', () => g.scope('mlp', () => build(g)))).toThrow(message);
  });
});

describe('differentiating', () => {
  for (const op of ops.values()) {
    const { gradient } = op;
    const example = op.examples.find(({ inputs }) =>
      inputs.some((input) => input && (input.dtype ?? 'float32') === 'float32'),
    );
    if (gradient.kind === 'differentiable' || !example) continue;
    it(`${op.name} ${gradient.kind === 'none' ? 'passes nothing on' : 'says why it cannot'}`, () => {
      const { builder, node, inputs } = exampleGraph(op, example, new Random(1));
      const output = node.outputs[0]!;
      const run = () => vjp(builder, [output], [builder.zeros(output.shape, output.dtype)], [inputs[0]!]);
      if (gradient.kind === 'none') expect(run().gradients).toEqual([null]);
      else expect(run).toThrow(gradient.why);
    });
  }
});
