/** 8-bit whole numbers, a scale a row (Dettmers et al. 2022, "LLM.int8()", of the weights alone). */

/** What codes are moved by, so that they lie in a byte without a sign. */
export const INT8_ZERO = 128;

export interface Int8Tensor {
  /** The number's code + {@link INT8_ZERO}. */
  readonly codes: Uint8Array;
  /** Each row's largest magnitude / 127. */
  readonly scales: Float32Array;
}

/** @param values [rows, columns], one row of `scales` each */
export function quantizeInt8(values: Float32Array, { codes, scales }: Int8Tensor): void {
  const columns = values.length / scales.length;
  for (let row = 0; row < scales.length; row++) {
    let largest = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scales[row] = largest / 127;
    const inverse = largest > 0 ? Math.fround(127 / Math.fround(largest)) : 0;
    for (let i = row * columns; i < (row + 1) * columns; i++)
      codes[i] = roundToEven(Math.fround(values[i]! * inverse)) + INT8_ZERO;
  }
}

function roundToEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
