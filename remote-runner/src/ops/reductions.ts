import type { Attributes, Value } from '../graph/ir';
import { elementCount, type Node, type TensorType } from '../graph/ir';
import { normalizeAxes, reduceShape } from '../graph/shape';
import { differentiable, type GradientContext, type OnnxEmitter, type OpDef } from './op';
import { given, intsAttribute, numberAttribute } from './typeRules';

type Inputs = readonly (TensorType | null)[];

/** Sum over `axes`. dx is dy repeated. */
export const reduceSum: OpDef = {
  name: 'ReduceSum',
  infer: reducedType,
  gradient: differentiable((context) => [context.g.expand(kept(context, context.dy), context.input(0).shape)]),
  onnx: (node, emit) => reduction('ReduceSum', node, emit),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [2, 2], data: [1, 2, 3, 4] }],
      attributes: { axes: [0], keepdims: 0 },
      shapes: [[2]],
      expect: [4, 6],
    },
    {
      name: 'a negative axis, kept',
      inputs: [{ shape: [2, 3, 4] }],
      attributes: { axes: [-1], keepdims: 1 },
      shapes: [[2, 3, 1]],
    },
    { name: 'several', inputs: [{ shape: [2, 3, 4] }], attributes: { axes: [2, 0], keepdims: 0 }, shapes: [[3]] },
    { name: 'everything', inputs: [{ shape: [3, 5] }], attributes: { axes: [0, 1], keepdims: 0 }, shapes: [[]] },
  ],
};

/** Mean over `axes`. dx is dy repeated, divided by how many there were. */
export const reduceMean: OpDef = {
  name: 'ReduceMean',
  infer: reducedType,
  gradient: differentiable((context) => {
    const { g, dy, input } = context;
    const share = elementCount(dy.shape) / elementCount(input(0).shape);
    return [g.expand(g.mul(kept(context, dy), share), input(0).shape)];
  }),
  onnx: (node, emit) => reduction('ReduceMean', node, emit),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [2, 2], data: [1, 2, 3, 5] }],
      attributes: { axes: [1], keepdims: 0 },
      shapes: [[2]],
      expect: [1.5, 4],
    },
    { name: 'kept', inputs: [{ shape: [2, 3, 5] }], attributes: { axes: [1], keepdims: 1 }, shapes: [[2, 1, 5]] },
    { name: 'everything', inputs: [{ shape: [3, 5] }], attributes: { axes: [0, 1], keepdims: 0 }, shapes: [[]] },
  ],
};

/** Largest over `axes`. Ties share dy evenly, as JAX's and PyTorch's amax do. */
export const reduceMax: OpDef = {
  name: 'ReduceMax',
  infer: reducedType,
  gradient: differentiable((context) => {
    const { g, dy, node, input, output } = context;
    const taken = g.cast(g.equal(input(0), kept(context, output(0))), dy.dtype);
    const ties = g.reduceSum(taken, intsAttribute(node.attributes, 'axes'), true);
    return [g.mul(taken, g.div(kept(context, dy), ties))];
  }),
  onnx: (node, emit) => reduction('ReduceMax', node, emit),
  examples: [
    {
      name: 'values',
      inputs: [{ shape: [2, 2], data: [1, 2, 9, 5] }],
      attributes: { axes: [1], keepdims: 0 },
      shapes: [[2]],
      expect: [2, 9],
    },
    {
      name: 'kept',
      inputs: [{ shape: [2, 3], data: [1, 5, 9, -2, -7, 4] }],
      attributes: { axes: [0], keepdims: 1 },
      shapes: [[1, 3]],
      expect: [1, 5, 9],
    },
    {
      name: 'a tie',
      inputs: [{ shape: [3], data: [2, 2, 1] }],
      attributes: { axes: [0], keepdims: 0 },
      shapes: [[]],
      expect: [2],
      check: [],
    },
  ],
};

function reducedType(inputs: Inputs, attributes: Attributes): TensorType[] {
  const { dtype, shape } = given(inputs, 0);
  const keep = numberAttribute(attributes, 'keepdims', 1) !== 0;
  return [{ dtype, shape: reduceShape(shape, intsAttribute(attributes, 'axes'), keep) }];
}

/** `x`, of the result's shape, with the reduced axes back as 1. */
function kept({ g, node, input }: GradientContext, x: Value): Value {
  return g.reshape(x, reduceShape(input(0).shape, intsAttribute(node.attributes, 'axes'), true));
}

/** From opset 18 on the axes are an input. */
function reduction(op: string, node: Node, emit: OnnxEmitter): void {
  const axes = normalizeAxes(intsAttribute(node.attributes, 'axes'), node.inputs[0]!.shape.length);
  // No axes would mean all of them in ONNX, and nothing here.
  emit.node(op, [emit.input(0), emit.ints(axes)], [emit.output(0)], {
    keepdims: numberAttribute(node.attributes, 'keepdims', 1),
    noop_with_empty_axes: 1,
  });
}
