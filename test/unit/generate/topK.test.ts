import { topK } from '@runner/generate/topK';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('topK', () => {
  it('finds what a full sort finds, equal scores in the order of their tokens', () => {
    const values = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NEGATIVE_INFINITY)));
    fc.assert(
      fc.property(values, fc.nat(60), (list, k) => {
        const sorted = [...list.keys()].sort((a, b) => (list[a] === list[b] ? a - b : list[b]! - list[a]!));
        expect([...topK(Float32Array.from(list), k)]).toEqual(sorted.slice(0, k));
      }),
    );
  });
});
