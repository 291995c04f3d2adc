import { quantizeInt8 } from '@runner/quantization/int8';
import { DYNAMIC_VALUES, nf4Sizes, quantizeNf4 } from '@runner/quantization/nf4';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ReferenceTensors, readQuantization } from './fixtures';

let reference: ReferenceTensors;

beforeAll(async () => {
  reference = await readQuantization();
});

describe('NF4 with double quantization, next to bitsandbytes', () => {
  it.each(['large', 'odd', 'zeros'])('makes the same bytes: %s', async (name) => {
    const weight = await reference.read(`${name}.weight`);
    const sizes = nf4Sizes(weight.length);
    const made = {
      packed: new Uint8Array(sizes.packed),
      absmax: new Uint8Array(sizes.absmax),
      nestedAbsmax: new Float32Array(sizes.nestedAbsmax),
      offset: new Float32Array(sizes.offset),
    };
    quantizeNf4(weight, made);
    expect([...made.packed]).toEqual([...(await reference.read(`${name}.packed`))]);
    expect([...made.absmax]).toEqual([...(await reference.read(`${name}.absmax`))]);
    // The mean of many is summed in another order.
    const [offset] = await reference.read(`${name}.nested_offset`);
    expect(Math.abs(made.offset[0]! - offset!)).toBeLessThanOrEqual(2 ** -22 * offset!);
    const nested = await reference.read(`${name}.nested_absmax`);
    for (const [i, scale] of nested.entries())
      expect(Math.abs(made.nestedAbsmax[i]! - scale)).toBeLessThanOrEqual(2 ** -22 * offset!);
  });

  it('has the same 256 scales', async () => {
    expect([...DYNAMIC_VALUES]).toEqual([...(await reference.read('dynamic_map'))]);
  });
});

describe('8 bits a weight, next to bitsandbytes', () => {
  it.each(['large', 'odd', 'zeros'])('makes the same numbers: %s', async (name) => {
    const weight = await reference.read(`${name}.weight`);
    const scales = await reference.read(`${name}.int8_scales`);
    const made = { codes: new Uint8Array(weight.length), scales: new Float32Array(scales.length) };
    quantizeInt8(weight, made);
    expect([...made.codes].map((code) => code - 128)).toEqual([...(await reference.read(`${name}.int8`))]);
    for (const [i, scale] of scales.entries()) expect(made.scales[i]).toBeCloseTo(scale, 9);
  });
});
