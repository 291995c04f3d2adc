import { hashWeights } from '@runner/hub/hash';
import { describe, expect, it } from 'vitest';

const a = { name: 'a', shape: [2], data: new Float32Array([1, 2]) };
const b = { name: 'b', shape: [1], data: new Float32Array([3]) };

describe('the hash that stamps generated text', () => {
  it('is the same for the same weights in another order or another buffer', () => {
    const arena = new Float32Array([9, 1, 2, 9]);
    expect(hashWeights([a, b])).toMatch(/^sha256:[0-9a-f]{12}$/);
    expect(hashWeights([b, { ...a, data: arena.subarray(1, 3) }])).toBe(hashWeights([a, b]));
  });

  it('tells apart weights that differ in one bit, a name or a shape', () => {
    const hashes = [
      hashWeights([a, b]),
      hashWeights([a]),
      hashWeights([{ ...a, data: new Float32Array([1, 2 + 2 ** -22]) }, b]),
      hashWeights([a, { ...b, data: new Float32Array([-3]) }]),
      hashWeights([{ ...a, shape: [2, 1] }, b]),
      hashWeights([{ ...a, name: 'c' }, b]),
      hashWeights([
        { ...a, name: 'b' },
        { ...b, name: 'a' },
      ]),
      hashWeights([{ ...a, data: new Float32Array([0, 2]) }, b]),
      hashWeights([{ ...a, data: new Float32Array([-0, 2]) }, b]),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  it('never changes between releases: stamped texts would lose their weights', () => {
    expect(hashWeights([a, b])).toBe('sha256:8d8c4ae4af54');
  });
});
