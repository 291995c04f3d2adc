/**
 * 4-bit NormalFloat with double quantization (Dettmers et al. 2023), byte for byte as bitsandbytes lays it out: blocks of 64
 * numbers by their largest magnitude, and those magnitudes, less their mean, to 8 bits by blocks of 256. Each number gets the
 * nearest code, as bitsandbytes' GPU kernels have it.
 */

/** Numbers that share a scale. */
export const NF4_BLOCK = 64;
/** Scales that share a scale of their own. */
export const NESTED_BLOCK = 256;

/** What the 16 codes stand for: quantiles of a normal distribution, scaled to [−1, 1]. */
export const NF4_VALUES = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453],
  ...[-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0],
  ...[0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224],
  ...[0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
);

/** What the 256 codes of scales stand for: seven decades, each in twice as many steps as the one below (Dettmers 2015). */
export const DYNAMIC_VALUES = dynamicValues();

const NF4_BOUNDS = midpoints(NF4_VALUES);
const DYNAMIC_BOUNDS = midpoints(DYNAMIC_VALUES);

export interface Nf4Tensor {
  /** Two codes a byte, the first in the high bits. */
  readonly packed: Uint8Array;
  /** A code a block. */
  readonly absmax: Uint8Array;
  readonly nestedAbsmax: Float32Array;
  /** Of one number: what is added to every block's scale. */
  readonly offset: Float32Array;
}

/** How long the parts are, for so many numbers. */
export function nf4Sizes(count: number) {
  const blocks = Math.ceil(count / NF4_BLOCK);
  return { packed: Math.ceil(count / 2), absmax: blocks, nestedAbsmax: Math.ceil(blocks / NESTED_BLOCK), offset: 1 };
}

/** @param into as long as {@link nf4Sizes} says */
export function quantizeNf4(values: Float32Array, into: Nf4Tensor): void {
  const blocks = into.absmax.length;
  const scales = new Float32Array(blocks);
  into.packed.fill(0);
  for (let block = 0; block < blocks; block++) {
    const from = block * NF4_BLOCK;
    const to = Math.min(from + NF4_BLOCK, values.length);
    const largest = largestMagnitude(values, from, to);
    scales[block] = largest;
    const divisor = Math.max(largest, Math.fround(1e-38));
    const isWhole = to - from === NF4_BLOCK;
    const inverse = Math.fround(1 / divisor);
    for (let i = from; i < to; i++) {
      // As bitsandbytes rounds: a block that is not full is divided.
      const scaled = Math.fround(isWhole ? values[i]! * inverse : values[i]! / divisor);
      into.packed[i >> 1]! |= codeOf(scaled, NF4_BOUNDS) << (i % 2 === 0 ? 4 : 0);
    }
  }
  // The last half of an odd tensor's last byte stands for 0.
  if (values.length % 2 === 1) into.packed[values.length >> 1]! |= 7;
  let sum = 0;
  for (const scale of scales) sum += scale;
  const offset = Math.fround(sum / blocks);
  into.offset[0] = offset;
  for (let i = 0; i < blocks; i++) scales[i] = scales[i]! - offset;
  for (let block = 0; block < into.nestedAbsmax.length; block++) {
    const from = block * NESTED_BLOCK;
    const to = Math.min(from + NESTED_BLOCK, blocks);
    const largest = largestMagnitude(scales, from, to);
    into.nestedAbsmax[block] = largest;
    const inverse = largest > 0 ? Math.fround(1 / largest) : 0;
    for (let i = from; i < to; i++) into.absmax[i] = codeOf(Math.fround(scales[i]! * inverse), DYNAMIC_BOUNDS);
  }
}

function largestMagnitude(values: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let i = from; i < to; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** How many bounds lie below `value`. */
function codeOf(value: number, bounds: Float32Array): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bounds[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function midpoints(values: Float32Array): Float32Array {
  return Float32Array.from({ length: values.length - 1 }, (_, i) => Math.fround(values[i]! + values[i + 1]!) / 2);
}

function dynamicValues(): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const steps = 2 ** decade;
    const step = Math.fround(Math.fround(0.9) / steps);
    // Counted from the nearer end, as torch.linspace does.
    const bound = (i: number) =>
      Math.fround(i < (steps + 1) / 2 ? Math.fround(0.1) + step * i : 1 - step * (steps - i));
    for (let i = 0; i < steps; i++) {
      const mean = Math.fround(Math.fround(bound(i) + bound(i + 1)) / 2);
      const value = Math.fround(Math.fround(10 ** (decade - 6)) * mean);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values.sort((a, b) => a - b));
}
