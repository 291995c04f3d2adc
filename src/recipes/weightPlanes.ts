/**
 * Weights as they are shipped: a safetensors file of bfloat16 tensors whose data is split into the plane of the high
 * bytes (sign and most of the exponent, which compress well) and that of the low bytes (which do not). Laid out as
 * safetensors is, a header's length in 8 bytes and the header, then the high plane and the low plane.
 */

/** The safetensors file. Bytes: 8 + header + 2 a weight. */
export function joinPlanes(packed: Uint8Array): Uint8Array {
  const start = 8 + Number(new DataView(packed.buffer, packed.byteOffset).getBigUint64(0, true));
  const count = (packed.length - start) / 2;
  // Not slice(): a Buffer's shares its memory.
  const file = new Uint8Array(packed);
  for (let i = 0; i < count; i++) {
    file[start + 2 * i] = packed[start + count + i]!;
    file[start + 2 * i + 1] = packed[start + i]!;
  }
  return file;
}
