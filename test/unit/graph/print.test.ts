/** The printed graph is what one reads when a model is wrong: types, attributes and places must all be there. */
import { printGraph } from '@runner/graph/print';
import { newBuilder } from '@runner/ops';
import { expect, it } from 'vitest';

it('prints sources, nodes with their types, attributes and places, and results', () => {
  const g = newBuilder('block');
  const x = g.input('x', 'float32', [2, 3]);
  const weight = g.graph.addExternal(
    'h.0.weight',
    { dtype: 'float32', shape: [3, 3] },
    { file: 'model.safetensors', offset: 96, length: 36 },
  );
  g.scope('h.0', () => {
    const [left, right] = g.scope('mlp', () => g.split(g.gemm(x, weight), [1, 2], 1));
    const shifted = g.add(left!, 0.5);
    g.output('sum', g.concat([shifted, g.mul(right!, g.constant(Float32Array.of(1, 2), 'float32', [2]))], 1));
    g.output('slice', g.apply('Cast', [shifted], { to: 'float64' }));
    g.output('x_again', x);
    g.apply('DropoutMask', [g.input('seed', 'int64', [])], { shape: [2, 3], p: 0.1, layer: 0 });
  });
  expect(printGraph(g.graph)).toBe(
    [
      'graph block',
      '  in  x: float32[2, 3]',
      '  in  seed: int64[]',
      '  ext h.0.weight: float32[3, 3]',
      '  %gemm_3: float32[2, 3] = Gemm(x, h.0.weight) transA=0 transB=0  # h.0/mlp',
      '  %split_5: float32[2, 1], %split_6: float32[2, 2] = Split(%gemm_3) sizes=[1, 2] axis=1  # h.0/mlp',
      '  %add_9: float32[2, 1] = Add(%split_5, 0.5)  # h.0',
      '  %mul_12: float32[2, 2] = Mul(%split_6, const float32[2])  # h.0',
      '  %concat_14: float32[2, 3] = Concat(%add_9, %mul_12) axis=1  # h.0',
      '  %cast_16: float64[2, 1] = Cast(%add_9) to=float64  # h.0',
      '  %dropoutmask_19: float32[2, 3] = DropoutMask(seed) shape=[2, 3] p=0.1 layer=0  # h.0',
      '  out sum = %concat_14',
      '  out slice = %cast_16',
      '  out x_again = x',
      '',
    ].join('\n'),
  );
});
