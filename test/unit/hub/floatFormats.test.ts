import { widenToFloat32 } from '@runner/hub/floatFormats';
import { describe, expect, it } from 'vitest';
import { halves } from './support';

/** The value of a binary16 by its definition in IEEE 754, table 3.5. */
function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

const all16 = Array.from({ length: 65536 }, (_, i) => i);

describe('weights stored in half precision', () => {
  it('keep the value of every one of the 65,536 float16 patterns, subnormals and infinities included', () => {
    const into = new Float32Array(65536);
    widenToFloat32('F16', new Uint8Array(halves(all16)), into);
    for (const half of all16) {
      if (!Object.is(into[half], halfValue(half))) expect.fail(`pattern ${half}: ${into[half]} ≠ ${halfValue(half)}`);
    }
  });

  it('keep the bits of every bfloat16 pattern, NaN payloads included', () => {
    const into = new Float32Array(65536);
    widenToFloat32('BF16', new Uint8Array(halves(all16)), into);
    const bits = new Uint32Array(into.buffer);
    for (const half of all16) {
      if (bits[half] !== half * 65536) expect.fail(`pattern ${half} became ${bits[half]}`);
    }
  });

  it('keep the sign and payload of a float16 NaN', () => {
    const into = new Float32Array(2);
    widenToFloat32('F16', new Uint8Array(halves([0x7e01, 0xfd00])), into);
    expect([...new Uint32Array(into.buffer)]).toEqual([0x7fc02000, 0xffa00000]);
  });

  it('round float64 to the nearest float32', () => {
    const into = new Float32Array(4);
    const from = new Float64Array([0.1, 1e-45, 1e300, -0]);
    widenToFloat32('F64', new Uint8Array(from.buffer), into);
    expect([...into]).toEqual([Math.fround(0.1), Math.fround(1e-45), Number.POSITIVE_INFINITY, -0]);
  });
});
