/**
 * Whole-number arithmetic beyond Add, Sub, Mul and Div. Results are exact on every device. ONNX Runtime's CPU provider has
 * the bitwise ops for every width and sign, and shifts for unsigned numbers only.
 */
import { GraphError, isFloat, type TensorType } from '../graph/ir';
import { noGradient, type OpDef } from './op';
import { broadcastLike, given, requireDType, stringAttribute } from './typeRules';

const gradient = noGradient('whole numbers do not vary smoothly');

function wholeNumbers(inputs: readonly (TensorType | null)[]): TensorType[] {
  const { dtype } = given(inputs, 0);
  if (isFloat(dtype) || dtype === 'bool') throw new GraphError(`wants whole numbers, got ${dtype}`);
  return broadcastLike(inputs);
}

/** Bits set in both. */
export const bitwiseAnd: OpDef = {
  name: 'BitwiseAnd',
  infer: wholeNumbers,
  gradient,
  examples: [
    {
      name: 'int64',
      inputs: [
        { dtype: 'int64', shape: [2], data: [12, -1] },
        { dtype: 'int64', shape: [], data: [10] },
      ],
      shapes: [[2]],
      expect: [8, 10],
    },
  ],
};

/** Bits set in one of the two. */
export const bitwiseXor: OpDef = {
  name: 'BitwiseXor',
  infer: wholeNumbers,
  gradient,
  examples: [
    {
      name: 'uint32',
      inputs: [
        { dtype: 'uint32', shape: [2, 1], data: [12, 0] },
        { dtype: 'uint32', shape: [2], data: [10, 3] },
      ],
      shapes: [[2, 2]],
      expect: [6, 15, 10, 3],
    },
  ],
};

/** `a` shifted by `b` bits to the `direction` LEFT or RIGHT; unsigned numbers only. */
export const bitShift: OpDef = {
  name: 'BitShift',
  infer: (inputs, attributes) => {
    const direction = stringAttribute(attributes, 'direction');
    if (direction !== 'LEFT' && direction !== 'RIGHT') throw new GraphError('direction must be LEFT or RIGHT');
    requireDType(given(inputs, 0), 'what is shifted', 'uint8', 'uint32', 'uint64');
    return broadcastLike(inputs);
  },
  gradient,
  examples: [
    {
      name: 'right',
      inputs: [
        { dtype: 'uint64', shape: [2], data: [2 ** 40, 5] },
        { dtype: 'uint64', shape: [], data: [2] },
      ],
      attributes: { direction: 'RIGHT' },
      shapes: [[2]],
      expect: [2 ** 38, 1],
    },
    {
      name: 'left',
      inputs: [
        { dtype: 'uint32', shape: [2], data: [3, 2 ** 31] },
        { dtype: 'uint32', shape: [2], data: [4, 1] },
      ],
      attributes: { direction: 'LEFT' },
      shapes: [[2]],
      expect: [48, 0],
    },
  ],
};

/** Remainder with the sign of the divisor, as Python's %. */
export const mod: OpDef = {
  name: 'Mod',
  infer: wholeNumbers,
  gradient,
  examples: [
    {
      name: 'negative numbers',
      inputs: [
        { dtype: 'int64', shape: [3], data: [7, -7, 6] },
        { dtype: 'int64', shape: [], data: [3] },
      ],
      shapes: [[3]],
      expect: [1, 2, 0],
    },
  ],
};
