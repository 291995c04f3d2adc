import { readFileSync } from 'node:fs';
import { resolveFormat } from '@runner/data/formats/resolveFormat';
import { packSamples } from '@runner/data/pack';
import { IGNORED, supervisedTokens, type TokenizeOptions, tokenizeRow } from '@runner/data/tokenize';
import { createTokenizer } from '@runner/data/tokenizer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EOS, sample, tokenizer } from './support';

function options(template: string, more: Partial<TokenizeOptions> = {}): TokenizeOptions {
  const columns = ['text', 'target'].filter((column) => template.includes(`{${column}}`));
  return {
    tokenizer,
    sampleFormat: resolveFormat({ template }, columns, [], { place: { file: 'd' }, chat: undefined }),
    maxLength: 100,
    trainOnPrompt: false,
    appendEos: true,
    file: 'data.jsonl',
    ...more,
  };
}
const row = (text: string, target = '', line = 3) => ({ line, values: { text, target } });

describe('tokenizeRow', () => {
  it('gives the prompt the very tokens it has when the model is asked to go on from it', () => {
    const word = fc.stringMatching(/^[a-zé漢.,]{1,6}( [a-z']{1,5}){0,3}$/);
    fc.assert(
      fc.property(word, word, fc.constantFrom(' ', '\n', '\n\n', ': '), (text, target, between) => {
        const { inputIds } = tokenizeRow(row(text, target), options(`{text}${between}{target}`));
        const prompt = tokenizer.encodeStart((text + between).trimEnd());
        expect([...inputIds.subarray(0, prompt.length)]).toEqual([...prompt]);
        expect(tokenizer.decode(inputIds.subarray(0, -1))).toBe(text + between + target);
        // Behind white space, apart and together are the same.
        expect([...inputIds]).toEqual([...tokenizer.encode(text + between + target), EOS]);
      }),
    );
  });

  it('learns the completion and its end, not the prompt, though padding is the same token as the end', () => {
    const { inputIds, labels, line } = tokenizeRow(row('Call me', 'Ishmael'), options('{text} {target}'));
    const prompt = tokenizer.encode('Call me').length;
    expect([...labels]).toEqual([...inputIds].map((id, t) => (t < prompt ? IGNORED : id)));
    expect(labels.at(-1)).toBe(EOS);
    expect(tokenizer.padTokenId).toBe(EOS);
    expect(line).toBe(3);
  });

  it('learns an end-of-sequence token in the middle of a completion too', () => {
    const { labels } = tokenizeRow(row('a', 'b<|endoftext|>c'), options('{text} {target}'));
    expect([...labels].filter((label) => label === EOS)).toHaveLength(2);
  });

  it('learns the prompt as well where asked, and everything where there is no target', () => {
    for (const one of [options('{text} {target}', { trainOnPrompt: true }), options('{text}')]) {
      const { inputIds, labels } = tokenizeRow(row('Call me', 'Ishmael'), one);
      expect([...labels]).toEqual([...inputIds]);
    }
  });

  it('gives the model its BOS and does not teach it', () => {
    const url = new URL('../../fixtures/data/llama.json', import.meta.url);
    const llama = createTokenizer(JSON.parse(readFileSync(url, 'utf8')).tokenizer, { config: { eos_token: '</s>' } });
    const one = tokenizeRow(row('me'), options('{text}', { tokenizer: llama }));
    expect(llama.decode(one.inputIds)).toBe('<s> me</s>');
    expect(one.labels[0]).toBe(IGNORED);
    const two = tokenizeRow(row('me', 'Ishmael'), options('{text}: {target}', { tokenizer: llama }));
    expect(llama.decode(two.inputIds)).toBe('<s> me: Ishmael</s>');
  });

  it('does not teach the model to stop where the text was cut', () => {
    const whole = tokenizeRow(row('some years ago'), options('{text}'));
    const cut = tokenizeRow(row('some years ago'), options('{text}', { maxLength: whole.inputIds.length - 2 }));
    expect(whole.truncated).toBe(false);
    expect(cut.truncated).toBe(true);
    expect([...cut.inputIds]).toEqual([...whole.inputIds.subarray(0, -2)]);
    const exact = tokenizeRow(row('some years ago'), options('{text}', { maxLength: whole.inputIds.length }));
    expect(exact).toEqual(whole);
  });

  it('refuses a row that would train on nothing, with its line and the reason', () => {
    const long = row('some years ago never mind how long', 'x', 12);
    expect(() => tokenizeRow(long, options('{text} {target}', { maxLength: 4 }))).toThrow(
      /^data\.jsonl:12: the prompt alone has \d+ tokens.*max_length 4; raise max_length/,
    );
    const noEnd = options('{text}', { appendEos: false });
    expect(() => tokenizeRow(row(''), noEnd)).toThrow(/data\.jsonl:3: the row has no text/);
    expect(() => tokenizeRow(row('a'), noEnd)).toThrow(/too little text/);
    expect(() => tokenizeRow(row(''), options('{text}'))).toThrow(
      expect.objectContaining({ code: 'no_supervised_tokens' }),
    );
  });
});

describe('packSamples', () => {
  it('loses no token and no label, and fills every block but the last', () => {
    const one = fc.array(fc.tuple(fc.nat(9), fc.boolean()), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 8 }), fc.integer({ min: 2, max: 9 }), (texts, length) => {
        const samples = texts.map((tokens) => sample(tokens.map(([id]) => id)));
        const blocks = packSamples(samples, length);
        const all = texts.flat().map(([id]) => id);
        // A last block of a single token teaches nothing.
        const kept = all.length % length === 1 ? all.slice(0, -1) : all;
        expect(blocks.flatMap(({ inputIds }) => [...inputIds])).toEqual(kept);
        expect(blocks.flatMap(({ labels }) => [...labels])).toEqual(kept);
        for (const block of blocks.slice(0, -1)) expect(block.inputIds).toHaveLength(length);
      }),
    );
  });

  it('keeps prompts masked, drops blocks that teach nothing, and says on which line a block begins', () => {
    const a = sample([1, 2, 3, 4, 5], [-100, -100, -100, -100, 5], 10);
    const b = sample([6, 7, 8], [6, 7, 8], 20);
    const blocks = packSamples([a, b], 3);
    expect(blocks.map(({ inputIds }) => [...inputIds])).toEqual([
      [4, 5, 6],
      [7, 8],
    ]);
    expect([...blocks[0]!.labels]).toEqual([-100, 5, 6]);
    expect(blocks.map(({ line }) => line)).toEqual([10, 20]);
    // With a token 7 for a line break, the second block begins one line further down.
    const lines = packSamples([sample([6, 7, 8, 9], undefined, 20)], 2, (ids) => ids.filter((id) => id === 7).length);
    expect(lines.map(({ line }) => line)).toEqual([20, 21]);
    expect(supervisedTokens(lines[0]!)).toBe(1);
  });
});
