import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { markedText } from '../../../webview/components/markedText';

const marked = (...args: Parameters<typeof markedText>) =>
  markedText(...args).map(({ text, differs, repeats }) => `${differs ? '+' : ''}${repeats ? '~' : ''}${text}`);

describe('marks in a compared text', () => {
  it('tint the words that the base does not have there', () => {
    expect(marked('the old man slept', 'the man slept', [])).toEqual(['the ', '+old ', 'man slept']);
    expect(marked('same', 'same', [])).toEqual(['same']);
    expect(marked('alone', undefined, [])).toEqual(['alone']);
  });

  it('underline repetitions, also across words that differ', () => {
    expect(marked('ab cd', 'ab xy', [{ start: 1, end: 4 }])).toEqual(['a', '~b ', '+~c', '+d']);
  });

  it('leave every letter in its place, whatever the texts are', () => {
    const range = fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        fc.array(range),
        (text, base, ranges) => {
          const inside = ranges.filter(({ end }) => end <= text.length);
          expect(
            markedText(text, base, inside)
              .map((piece) => piece.text)
              .join(''),
          ).toBe(text);
        },
      ),
    );
  });

  it('come quickly for long texts that have nothing in common', () => {
    const words = (from: number) => Array.from({ length: 4000 }, (_, i) => `w${from + i * 7}`).join(' ');
    const pieces = markedText(words(0), words(3), []);
    expect(pieces.some(({ differs }) => differs)).toBe(true);
  });
});
