import { GraphError, type Node, sameShape, type TensorType } from '../graph/ir';
import { noGradient, type OnnxEmitter, type OpDef } from './op';
import { given, intsAttribute, numberAttribute, requireDType } from './typeRules';

/**
 * What dropout multiplies by (Srivastava et al. 2014): 0 with probability `p`, else 1/(1 − p). float32 of attribute `shape`
 * [.., C], from `seed`, an int64 or uint64 scalar that is fed anew at each step. Attribute `layer`: a whole number of its
 * own for each place in the model.
 *
 * The mask depends on (seed, layer, p, shape) alone: a resumed run repeats it, and integer arithmetic makes it the same on
 * every device and with any number of threads. Stock kernels know no seed per run, so the graph holds the generator:
 *   key = mix(seed + mix(layer + 1)),  v_i = mix(key + i · GAMMA)   SplitMix64 (Steele, Lea & Flood 2014)
 *   h(row, column) = v_row · v_(rows + column)  mod 2⁶⁴               multiply-shift on pairs (Thorup 2015, "High speed hashing")
 *   an element is kept where h < (1 − p) · 2⁶⁴.
 * Only the short vectors v are mixed; of the mask's size there are a product, a comparison, a cast and a scaling. Hashing
 * every element's index with a 32-bit mixer takes three times as long.
 */
export const dropoutMask: OpDef = {
  name: 'DropoutMask',
  infer: (inputs, attributes) => {
    const seed = given(inputs, 0);
    requireDType(seed, 'the seed', 'int64', 'uint64');
    if (!sameShape(seed.shape, [])) throw new GraphError('the seed must be a scalar');
    const shape = intsAttribute(attributes, 'shape');
    if (shape.length === 0) throw new GraphError('the mask must have a dimension');
    const p = numberAttribute(attributes, 'p');
    if (!(p > 0 && p < 1)) throw new GraphError(`p must lie between 0 and 1, not ${p}: leave the node out for 0`);
    const layer = numberAttribute(attributes, 'layer');
    if (!Number.isInteger(layer) || layer < 0) throw new GraphError(`layer must be a whole number, not ${layer}`);
    return [{ dtype: 'float32', shape }];
  },
  gradient: noGradient('a mask is drawn from whole numbers'),
  onnx: (node, emit) => {
    const scale = 1 / (1 - numberAttribute(node.attributes, 'p'));
    const ones = emit.temporary({ dtype: 'float32', shape: intsAttribute(node.attributes, 'shape') });
    emit.node('Cast', [emitKept(node, emit)], [ones], { to: 'float32' });
    emit.node('Mul', [ones, emit.scalar(scale, 'float32')], [emit.output(0)]);
  },
  examples: [
    {
      name: 'of a batch',
      inputs: [{ dtype: 'int64', shape: [], data: [42] }],
      attributes: { shape: [2, 3, 5], p: 0.3, layer: 2 },
      shapes: [[2, 3, 5]],
    },
    {
      name: 'of a vector, unsigned seed',
      inputs: [{ dtype: 'uint64', shape: [], data: [2 ** 63] }],
      attributes: { shape: [9], p: 0.5, layer: 0 },
      shapes: [[9]],
    },
  ],
};

const GAMMA = 0x9e3779b97f4a7c15n;
const MIX_1 = 0xbf58476d1ce4e5b9n;
const MIX_2 = 0x94d049bb133111ebn;

/** Writes the truth values that say which elements stay; returns their name. */
function emitKept(node: Node, emit: OnnxEmitter): string {
  const shape = intsAttribute(node.attributes, 'shape');
  const columns = shape.at(-1)!;
  const rowShape = [...shape.slice(0, -1), 1];
  const rows = rowShape.reduce((n, size) => n * size, 1);

  const op = (name: string, inputs: string[], attributes = {}, type?: TensorType): string => {
    const result = emit.temporary(type);
    emit.node(name, inputs, [result], attributes);
    return result;
  };
  const mixed = (z: string): string => {
    const folded = (x: string, bits: bigint) =>
      op('BitwiseXor', [x, op('BitShift', [x, emit.uint64(bits)], { direction: 'RIGHT' })]);
    const once = op('Mul', [folded(z, 30n), emit.uint64(MIX_1)]);
    return folded(op('Mul', [folded(once, 27n), emit.uint64(MIX_2)]), 31n);
  };

  const salt = mix(BigInt(numberAttribute(node.attributes, 'layer')) + 1n);
  const seed = node.inputs[0]!.dtype === 'uint64' ? emit.input(0) : op('Cast', [emit.input(0)], { to: 'uint64' });
  const key = mixed(op('Add', [seed, emit.uint64(salt)]));

  const counter = op('Range', [emit.scalar(0, 'int64'), emit.scalar(rows + columns, 'int64'), emit.scalar(1, 'int64')]);
  const steps = op('Mul', [op('Cast', [counter], { to: 'uint64' }), emit.uint64(GAMMA)]);
  const random = mixed(op('Add', [steps, key]));

  const [left, right] = [emit.temporary(), emit.temporary()];
  emit.node('Split', [random, emit.ints([rows, columns])], [left, right], { axis: 0 });
  const product = op('Mul', [op('Reshape', [left, emit.ints(rowShape)]), right], {}, { dtype: 'uint64', shape });
  const threshold = BigInt(Math.floor((1 - numberAttribute(node.attributes, 'p')) * 2 ** 64));
  return op('Less', [product, emit.uint64(threshold)], {}, { dtype: 'bool', shape });
}

/** SplitMix64's finaliser. */
function mix(value: bigint): bigint {
  const wrap = (x: bigint) => BigInt.asUintN(64, x);
  let z = wrap(value * GAMMA);
  z = wrap((z ^ (z >> 30n)) * MIX_1);
  z = wrap((z ^ (z >> 27n)) * MIX_2);
  return z ^ (z >> 31n);
}
