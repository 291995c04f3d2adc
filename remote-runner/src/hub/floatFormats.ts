/**
 * Conversions of the float formats that weights are stored in to float32, exact in both directions of the bits that
 * fit: subnormals, infinities and NaN payloads included.
 * Sources: IEEE 754-2019 (binary16, binary64); bfloat16 is the upper half of a binary32.
 */

/** Formats that {@link widenToFloat32} reads, with their bytes a value. */
export const FLOAT_BYTES = { F32: 4, F16: 2, BF16: 2, F64: 8 } as const;

export type FloatFormat = keyof typeof FLOAT_BYTES;

let halfTable: Uint32Array | undefined;

/** The float32 bits of each of the 65,536 float16 values (256 KB, made at first use). */
function halfToFloatBits(): Uint32Array {
  if (halfTable) return halfTable;
  const table = new Uint32Array(65536);
  for (let half = 0; half < 65536; half++) table[half] = widenHalf(half);
  halfTable = table;
  return table;
}

function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // Subnormal: fraction × 2⁻²⁴ is a normal float32; shift its leading one to the hidden bit.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}

/**
 * Widens (F64: rounds to nearest) little-endian values to float32.
 * @param bytes whole values, beginning at a multiple of their size in their buffer
 * @param into as many elements as `bytes` holds values
 */
export function widenToFloat32(format: FloatFormat, bytes: Uint8Array, into: Float32Array): void {
  const { buffer, byteOffset } = bytes;
  const count = into.length;
  switch (format) {
    case 'F32':
      into.set(new Float32Array(buffer, byteOffset, count));
      return;
    case 'F64':
      into.set(new Float64Array(buffer, byteOffset, count));
      return;
    case 'BF16': {
      const from = new Uint16Array(buffer, byteOffset, count);
      const bits = new Uint32Array(into.buffer, into.byteOffset, count);
      for (let i = 0; i < count; i++) bits[i] = from[i]! << 16;
      return;
    }
    case 'F16': {
      const from = new Uint16Array(buffer, byteOffset, count);
      const bits = new Uint32Array(into.buffer, into.byteOffset, count);
      const table = halfToFloatBits();
      for (let i = 0; i < count; i++) bits[i] = table[from[i]!]!;
      return;
    }
  }
}
