import { formatShape, GraphError } from '../graph/ir';
import { normalizeAxis } from '../graph/shape';
import { differentiable, type OpDef } from './op';
import { given, intsAttribute, numberAttribute } from './typeRules';

/** Pieces of the given `sizes` along `axis`. dx joins their gradients, zeros for a piece that nobody asked about. */
export const split: OpDef = {
  name: 'Split',
  infer: (inputs, attributes) => {
    const { dtype, shape } = given(inputs, 0);
    const axis = normalizeAxis(numberAttribute(attributes, 'axis'), shape.length);
    const sizes = intsAttribute(attributes, 'sizes');
    if (sizes.reduce((a, b) => a + b, 0) !== shape[axis]) {
      throw new GraphError(`pieces of [${sizes.join(', ')}] do not make up axis ${axis} of ${formatShape(shape)}`);
    }
    return sizes.map((size) => ({ dtype, shape: shape.map((n, i) => (i === axis ? size : n)) }));
  },
  gradient: differentiable(({ g, node, dOutputs }) => [
    g.concat(
      dOutputs.map((dy, i) => dy ?? g.zeros(node.outputs[i]!.shape, node.outputs[i]!.dtype)),
      numberAttribute(node.attributes, 'axis'),
    ),
  ]),
  onnx: (node, emit) =>
    emit.node(
      'Split',
      [emit.input(0), emit.ints(intsAttribute(node.attributes, 'sizes'))],
      node.outputs.map((_, i) => emit.output(i)),
      { axis: numberAttribute(node.attributes, 'axis') },
    ),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [5], data: [1, 2, 3, 4, 5] }],
      attributes: { axis: 0, sizes: [2, 3] },
      shapes: [[2], [3]],
      expect: [1, 2],
    },
    {
      name: 'query, key and value',
      inputs: [{ shape: [2, 3, 12] }],
      attributes: { axis: -1, sizes: [4, 4, 4] },
      shapes: [
        [2, 3, 4],
        [2, 3, 4],
        [2, 3, 4],
      ],
    },
    {
      name: 'only the middle is used',
      inputs: [{ shape: [7, 2] }],
      attributes: { axis: 0, sizes: [2, 4, 1] },
      shapes: [
        [2, 2],
        [4, 2],
        [1, 2],
      ],
      cotangents: [1],
    },
  ],
};
