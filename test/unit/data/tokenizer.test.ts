import { readFileSync } from 'node:fs';
import { trainBpe } from '@runner/data/bpe';
import { createTokenizer, loadTokenizer } from '@runner/data/tokenizer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chapter, tokenizer as gpt, folder as textFolder } from './support';

/** A folder of JSON files. */
function folder(files: Record<string, unknown>): string {
  const written = Object.entries(files).map(([name, content]) => [
    name,
    typeof content === 'string' ? content : JSON.stringify(content),
  ]);
  return textFolder(Object.fromEntries(written));
}

interface LlamaFixture {
  tokenizer: object;
  encodings: { text: string; ids: number[] }[];
}
// Made by Hugging Face's tokenizers: test/fixtures/data/make.py.
const fixture: LlamaFixture = JSON.parse(
  readFileSync(new URL('../../fixtures/data/llama.json', import.meta.url), 'utf8'),
);
const llama = createTokenizer(fixture.tokenizer, { config: { bos_token: '<s>', eos_token: { content: '</s>' } } });

describe('encoding', () => {
  it('gives Hugging Face’s ids for a tokenizer of Llama 2’s kind, with the BOS only where a sequence begins', () => {
    for (const { text, ids } of fixture.encodings) {
      expect([...llama.encodeStart(text)]).toEqual(ids);
      expect([...llama.encode(text)]).toEqual(ids.slice(1));
    }
    expect([...gpt.encodeStart('Whale')]).toEqual([...gpt.encode('Whale')]);
  });

  it('does not change a long text’s ids by cutting it', () => {
    const long = chapter.replaceAll('\n', ' ').repeat(2);
    const words = long.split(/(?= )/);
    // Each space-led word encoded as a continuation is what the whole must be made of: no token crosses a space.
    const byWords = words.flatMap((word, i) => [...(i === 0 ? llama.encode(word) : llama.encodeContinuation(word))]);
    expect([...llama.encode(long)]).toEqual(byWords);
    expect(llama.decode(llama.encode(long))).toBe(long);
  });

  it('puts no space before the second half of a text', () => {
    const join = (a: string, b: string) => llama.decode([...llama.encodeStart(a), ...llama.encodeContinuation(b)]);
    expect(join('Call me', ' Ishmael')).toBe('<s> Call me Ishmael');
    expect(join('Call me Ish', 'mael')).toBe('<s> Call me Ishmael');
    expect(join('a', '\n\nb')).toBe('<s> a\n\nb');
    expect(gpt.decode([...gpt.encode('Ish'), ...gpt.encodeContinuation('mael')])).toBe('Ishmael');
  });

  it('gives the text back, with every space before punctuation', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(gpt.decode(gpt.encode(text))).toBe(text);
      }),
    );
    expect(gpt.decode(gpt.encode("do n't , why ?"))).toBe("do n't , why ?");
    expect(gpt.decode(gpt.encode('a<|endoftext|>'), { skipSpecialTokens: true })).toBe('a');
  });

  it('shows single tokens with their spaces', () => {
    expect([...gpt.encode('the whale')].map((id) => gpt.tokenText(id)).join('|')).toBe('t|he| wh|a|le');
    expect([...llama.encode('me')].map((id) => llama.tokenText(id)).join('')).toBe(' me');
  });
});

describe('loadTokenizer', () => {
  const json = trainBpe(chapter, { vocabSize: 300, specialTokens: ['<|endoftext|>', '<|pad|>'] });

  it('finds the special tokens in whichever file names them', async () => {
    const config = await loadTokenizer(
      folder({
        'tokenizer.json': json,
        'tokenizer_config.json': { eos_token: { content: '<|endoftext|>' }, pad_token: '<|pad|>' },
      }),
    );
    expect(config).toMatchObject({ eosTokenId: 0, padTokenId: 1, vocabSize: 300 });
    expect(config.bosTokenId).toBeUndefined();
    const map = await loadTokenizer(
      folder({ 'tokenizer.json': json, 'special_tokens_map.json': { eos_token: '<|pad|>' } }),
    );
    expect(map.eosTokenId).toBe(1);
    const absent = { 'tokenizer_config.json': { eos_token: '[none]' }, 'config.json': { eos_token_id: 1 } };
    expect((await loadTokenizer(folder({ 'tokenizer.json': json, ...absent }))).eosTokenId).toBe(1);
    const model = await loadTokenizer(folder({ 'tokenizer.json': json, 'config.json': { eos_token_id: [7, 8] } }));
    expect(model.eosTokenId).toBe(7);
  });

  it('names the file that is missing, cut short, or of another kind', async () => {
    const code = { code: 'tokenizer_invalid' };
    await expect(loadTokenizer(folder({}))).rejects.toMatchObject({
      ...code,
      message: expect.stringMatching(/tokenizer\.json: the model has no tokenizer\.json/),
    });
    await expect(loadTokenizer(folder({ 'tokenizer.json': JSON.stringify(json).slice(0, 500) }))).rejects.toMatchObject(
      { ...code, message: expect.stringMatching(/tokenizer\.json: .*not valid JSON/) },
    );
    await expect(loadTokenizer(folder({ 'tokenizer.json': { vocab: {} } }))).rejects.toMatchObject({
      ...code,
      message: expect.stringMatching(/see model/),
    });
    await expect(
      loadTokenizer(folder({ 'tokenizer.json': { ...json, pre_tokenizer: { type: 'Klingon' } } })),
    ).rejects.toMatchObject({ ...code, message: expect.stringMatching(/Klingon/) });
  });
});
