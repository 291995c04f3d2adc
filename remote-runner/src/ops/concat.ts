import { formatShape, GraphError } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, numberAttribute, requireSameDType } from './typeRules';

/** Tensors one after another along `axis`. The gradients are the pieces of dy: all of them a Split, a single one a Slice. */
export const concat: OpDef = {
  name: 'Concat',
  infer: (inputs, attributes) => {
    const types = inputs.map((_, i) => given(inputs, i));
    const first = given(types, 0);
    requireSameDType(...types);
    const axis = normalizeAxis(numberAttribute(attributes, 'axis'), first.shape.length);
    let size = 0;
    for (const { shape } of types) {
      if (shape.length !== first.shape.length || shape.some((n, i) => i !== axis && n !== first.shape[i])) {
        throw new GraphError(`${formatShape(shape)} does not join ${formatShape(first.shape)} along axis ${axis}`);
      }
      size += shape[axis]!;
    }
    return [{ dtype: first.dtype, shape: first.shape.map((n, i) => (i === axis ? size : n)) }];
  },
  gradient: differentiable(({ g, dy, node, needs, input }) => {
    const axis = normalizeAxis(numberAttribute(node.attributes, 'axis'), dy.shape.length);
    const sizes = node.inputs.map((_, i) => input(i).shape[axis]!);
    const wanted = sizes.map((_, i) => needs(i));
    if (wanted.filter(Boolean).length > 1) return g.split(dy, sizes, axis);
    let start = 0;
    return sizes.map((size, i) => {
      const from = start;
      start += size;
      return wanted[i] ? g.slice(dy, [axis], [from], [from + size]) : null;
    });
  }),
  examples: [
    {
      name: 'values',
      inputs: [
        { shape: [2, 1], data: [1, 2] },
        { shape: [2, 2], data: [3, 4, 5, 6] },
      ],
      attributes: { axis: -1 },
      shapes: [[2, 3]],
      expect: [1, 3, 4, 2, 5, 6],
    },
    {
      name: 'three along the middle',
      inputs: [{ shape: [2, 1, 3] }, { shape: [2, 4, 3] }, { shape: [2, 2, 3] }],
      attributes: { axis: 1 },
      shapes: [[2, 7, 3]],
    },
    {
      name: 'a past that is not trained',
      inputs: [{ shape: [2, 3] }, { shape: [1, 3] }],
      attributes: { axis: 0 },
      shapes: [[3, 3]],
      check: [1],
    },
  ],
};
