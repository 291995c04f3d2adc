import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { createTokenizer } from '@runner/data/tokenizer';
import { wordCutter } from '@runner/data/wordCutter';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chapter } from './support';

const folder = join(__dirname, '../../../examples/default/model');
const gpt2 = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as Record<string, unknown> & {
  added_tokens: object[];
};

/** The same vocabulary behind other pre-tokenizers. */
const split = (Regex: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
});
const added = (content: string) => ({
  id: 0,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});
const tokens = [
  added('<|endoftext|>'),
  { ...added('<|im_start|>'), id: 5 },
  { ...added('<|im'), id: 6 },
  { ...added('[X]'), id: 7 },
];
const kinds: Record<string, Record<string, unknown>> = {
  'GPT-2': gpt2,
  'Llama 3': {
    ...gpt2,
    added_tokens: tokens,
    pre_tokenizer: split(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
  },
  'Qwen 2': {
    ...gpt2,
    added_tokens: tokens,
    normalizer: { type: 'NFC' },
    pre_tokenizer: split(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
  },
};

const parts = [
  "'s",
  "'LL",
  "'",
  'a',
  'Word',
  ' the',
  '  ',
  '\n',
  '\r\n',
  '\t',
  '12345',
  ' 7',
  '!',
  '?!',
  'é',
  'e\u0301',
  '漢字',
  '👩‍👩‍👧',
  '\ud83d',
  '\u00a0',
  '\u0301',
  '<|endoftext|>',
  '<|im_start|>',
  '<|im',
  '[X]',
  '<|',
  '\0',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...parts), fc.string({ maxLength: 3 })), { maxLength: 20 })
  .map((all) => all.join(''));

describe('encoding word by word', () => {
  it.each(Object.keys(kinds))('gives the ids that the library gives for the whole text, for the kind of %s', (name) => {
    const json = kinds[name]!;
    const library = new HfTokenizer(json, {});
    const ours = createTokenizer(json);
    expect(wordCutter(json as never, library, {})).toBeDefined();
    const same = (all: string) => {
      if (all === '') return;
      expect([...ours.encode(all)]).toEqual(library.encode(all, { add_special_tokens: false }).ids);
    };
    same(chapter);
    fc.assert(fc.property(text, same), { numRuns: 1500 });
  });

  it('is not done where a word alone may have other ids', () => {
    const library = new HfTokenizer(gpt2, {});
    const cutter = (change: object, config = {}) => {
      const json = { ...gpt2, ...change };
      return wordCutter(json as never, new HfTokenizer(json, config), config);
    };
    expect(wordCutter(gpt2 as never, library, {})).toBeDefined();
    expect(cutter({ normalizer: { type: 'Lowercase' } })).toBeUndefined();
    expect(cutter({ added_tokens: [{ ...added('<mask>'), lstrip: true }] })).toBeUndefined();
    expect(cutter({ pre_tokenizer: split('(?<=a)b|[^b]+|b') })).toBeUndefined();
    expect(cutter({ pre_tokenizer: split('^a|[^a]+|a') })).toBeUndefined();
    expect(cutter({ pre_tokenizer: { ...(gpt2.pre_tokenizer as object), add_prefix_space: true } })).toBeUndefined();
    expect(cutter({}, { remove_space: true })).toBeUndefined();
  });
});
