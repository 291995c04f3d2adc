import { repeatedNgrams, textMetrics } from '@runner/generate/metrics';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('textMetrics', () => {
  it('counts as the paper does: different n-grams over words', () => {
    // the mage and the mage and the road: 8 words, 4 different, 7 pairs of which 4 different
    expect(textMetrics('The mage, and the mage and the road.')).toEqual({
      words: 8,
      unique_words: 4,
      distinct_1: 4 / 8,
      distinct_2: 4 / 8,
    });
  });

  it('makes no pair across the border of two texts', () => {
    expect(textMetrics(['a b', 'b a'])).toEqual({ words: 4, unique_words: 2, distinct_1: 0.5, distinct_2: 0.5 });
    expect(textMetrics(['a', 'b'])).toMatchObject({ distinct_2: 0 });
  });

  it('counts words of a script that writes no spaces', () => {
    expect(textMetrics('我喜欢龙').words).toBeGreaterThan(1);
  });

  it('is 0, not NaN, for a text without words', () => {
    expect(textMetrics('… !')).toEqual({ words: 0, unique_words: 0, distinct_1: 0, distinct_2: 0 });
  });
});

describe('repeatedNgrams', () => {
  it('shows where a text says again what it said', () => {
    const text = 'He drew his old sword. Then he drew his old sword again.';
    const [range, ...more] = repeatedNgrams(text, 4);
    expect(text.slice(range!.start, range!.end)).toBe('he drew his old sword');
    expect(more).toEqual([]);
  });

  it('marks nothing where nothing comes twice, and all but the first turn of a loop', () => {
    expect(repeatedNgrams('one two three four five six')).toEqual([]);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 9 }), (turns) => {
        const turn = 'on and on it goes ';
        const text = turn.repeat(turns).trim();
        expect(repeatedNgrams(text)).toEqual([{ start: turn.length, end: text.length }]);
      }),
    );
  });
});
