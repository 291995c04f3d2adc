import { readFileSync } from 'node:fs';
import { trainBpe } from '@runner/data/bpe';
import { createTokenizer } from '@runner/data/tokenizer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chapter } from './support';

interface Fixture {
  vocab: Record<string, number>;
  merges: string[];
  encodings: { text: string; ids: number[] }[];
}
// Made by Hugging Face's tokenizers: test/fixtures/data/make.py.
const fixture: Fixture = JSON.parse(readFileSync(new URL('../../fixtures/data/bpe.json', import.meta.url), 'utf8'));
const trained = trainBpe(chapter, { vocabSize: 700, specialTokens: ['<|endoftext|>', '<|pad|>'] });
const tokenizer = createTokenizer(trained);

describe('trainBpe', () => {
  it('learns the very vocabulary Hugging Face’s trainer learns, merge by merge', () => {
    expect(trained.model.merges).toEqual(fixture.merges);
    expect(trained.model.vocab).toEqual(fixture.vocab);
  });

  it('writes a tokenizer that gives the ids Hugging Face’s tokenizers gives', () => {
    for (const { text, ids } of fixture.encodings)
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids);
  });

  it('loses no text: every string decodes to itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('keeps counts right where a letter repeats, so that the best pair is really the best', () => {
    // "aaaa" four times: (a,a) three times a word; after it (aa,aa) four times in all.
    const { merges } = trainBpe('aaaa aaaa aaaa aaaa', { vocabSize: 300 }).model;
    expect(merges).toEqual(['a a', 'aa aa', 'Ġ aaaa']);
  });

  it('stops where no pair comes twice instead of learning noise', () => {
    expect(trainBpe('abc', { vocabSize: 300 }).model.merges).toEqual([]);
    expect(trainBpe('abc', { vocabSize: 300, minFrequency: 1 }).model.merges).toHaveLength(2);
  });

  it('says how small a vocabulary may be, and refuses empty text', () => {
    expect(() => trainBpe('abc', { vocabSize: 200 })).toThrow(/at least 257/);
    expect(() => trainBpe('', { vocabSize: 300 })).toThrow(expect.objectContaining({ code: 'dataset_empty' }));
  });
});
