import { type GenerateInput, type GenerationWarning, generate } from '@runner/generate/generate';
import { describe, expect, it } from 'vitest';
import { byteTokenizer } from './byteTokenizer';
import { ScriptedDecoder } from './scriptedDecoder';
import { generationOptions, TinyRnn, tinyRnnFixture } from './tinyRnn';

const tokenizer = byteTokenizer();
/** Ids of the tiny model as text: its 31 tokens are letters. */
const letters = {
  encodeStart: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) - 96),
  decode: (ids: Int32Array) => String.fromCharCode(...Array.from(ids, (id) => id + 96)),
  eosTokenId: tinyRnnFixture.eos,
};
const sampled = generationOptions({ do_sample: true, temperature: 1.5, max_new_tokens: 12, seed: 5 });

function scripted(texts: [prompt: string, continuation: string][]): ScriptedDecoder {
  const ids = texts.map(([prompt, text]) => [...tokenizer.encodeStart(prompt), ...tokenizer.encodeStart(text), 0]);
  return new ScriptedDecoder(
    tokenizer.vocabSize,
    ids.map((text) => Int32Array.from(text)),
  );
}

async function tiny(input: Partial<GenerateInput>) {
  return generate({ decoder: new TinyRnn(), tokenizer: letters, prompts: ['a'], options: sampled, ...input });
}

describe('generate', () => {
  const story: [string, string][] = [
    ['the mage', ' of the north'],
    ['A 竜 of the old', ' road 🐉\nUser: who are you?'],
    ['sword', '!'],
  ];
  const prompts = story.map(([prompt]) => prompt);

  for (const num_beams of [1, 3]) {
    it(`gives text, reason and pieces that belong together (beams: ${num_beams})`, async () => {
      const pieces = prompts.map(() => '');
      const options = generationOptions({ num_beams, stop_strings: ['\nUser:'], max_new_tokens: 40 });
      const result = await generate({
        decoder: scripted(story),
        tokenizer,
        prompts,
        options,
        onToken: ({ index, text }) => {
          pieces[index] += text;
        },
      });
      expect(result.map(({ prompt }) => prompt)).toEqual(prompts);
      expect(result.map(({ text }) => text)).toEqual([' of the north', ' road 🐉', '!']);
      expect(result.map(({ finishReason }) => finishReason)).toEqual(['eos', 'stop', 'eos']);
      expect(pieces).toEqual(result.map(({ text }) => text));
      expect([...result[2]!.ids]).toEqual([...tokenizer.encodeStart('!'), 0]);
    });
  }

  it('reports text while it is written, not at the end', async () => {
    const events: string[] = [];
    const onToken = ({ index, text }: { index: number; text: string }) => events.push(`${index}${text}`);
    const options = generationOptions({ max_new_tokens: 20 });
    await generate({ decoder: scripted(story), tokenizer, prompts: [prompts[0]!, prompts[2]!], options, onToken });
    expect(events.slice(0, 2)).toEqual(['0 of', '1!']);
    expect(events.length).toBeGreaterThan(3);
  });

  it('gives a prompt the same text alone, in any batch, at any place, with any batch size', async () => {
    const words = ['abc', 'z', 'hello', 'yes', 'qqq', 'mn'];
    const alone = await Promise.all(words.map(async (word) => (await tiny({ prompts: [word] }))[0]!.text));
    const reversed = await tiny({ prompts: [...words].reverse() });
    const inTurns = await tiny({ prompts: words, maxRows: 4 });
    expect(reversed.map(({ text }) => text).reverse()).toEqual(alone);
    expect(inTurns.map(({ text }) => text)).toEqual(alone);
    expect(new Set(alone).size).toBe(words.length);
  });

  it('gives a prompt asked twice two texts, and another seed other texts', async () => {
    const [first, second] = await tiny({ prompts: ['abc', 'abc'] });
    const [other] = await tiny({ prompts: ['abc'], options: { ...sampled, seed: 6 } });
    expect(new Set([first!.text, second!.text, other!.text]).size).toBe(3);
  });

  it('does not write behind the model’s positions, and warns of it before', async () => {
    const warnings: GenerationWarning[] = [];
    const long = 'abcdefghijklmnopqrstuvwxyz';
    const options = generationOptions({ max_new_tokens: 20 });
    const [short, full] = await tiny({
      decoder: new TinyRnn({ maxLength: 30 }),
      prompts: ['a', long],
      options,
      eosTokenIds: [],
      onWarning: (warning) => warnings.push(warning),
    });
    expect([short!.ids.length, full!.ids.length]).toEqual([20, 4]);
    expect(warnings).toEqual([
      {
        code: 'positions_used_up',
        message:
          'Prompt 2 has 26 tokens: of the model’s 30 positions that leaves room for 4 new tokens, not for max_new_tokens = 20.',
      },
    ]);
  });

  it('refuses a prompt that leaves no room, naming it', async () => {
    const running = tiny({ decoder: new TinyRnn({ maxLength: 3 }), prompts: ['a', 'abc'] });
    await expect(running).rejects.toMatchObject({ code: 'usage', message: expect.stringMatching(/^Prompt 2 has 3/) });
  });

  it('refuses token ids the model does not have: they belong to another tokenizer', async () => {
    const running = tiny({ prompts: [Int32Array.of(3, 31)] });
    await expect(running).rejects.toMatchObject({ code: 'vocabulary_too_small' });
  });

  it('begins an empty prompt with the token that begins a text, and refuses where there is none', async () => {
    const options = generationOptions({ max_new_tokens: 6 });
    const [empty] = await tiny({ prompts: [''], options });
    const [begun] = await tiny({ prompts: [Int32Array.of(tinyRnnFixture.eos)], options });
    expect([...empty!.ids]).toEqual([...begun!.ids]);
    const running = tiny({ prompts: [''], tokenizer: { ...letters, eosTokenId: undefined } });
    await expect(running).rejects.toMatchObject({ code: 'usage' });
  });

  it('ends a text at any of several end-of-sequence tokens', async () => {
    const ends = [5, 9, 21];
    const results = await tiny({ prompts: ['abc', 'z', 'hello'], eosTokenIds: ends });
    for (const { ids, finishReason } of results) {
      const at = ids.findIndex((id) => ends.includes(id));
      expect([at, finishReason]).toEqual(at < 0 ? [-1, 'length'] : [ids.length - 1, 'eos']);
    }
    expect(results.some(({ finishReason }) => finishReason === 'eos')).toBe(true);
  });

  it('stamps each text with the weights that made it, and refuses where they changed in between', async () => {
    const decoder = new TinyRnn();
    const [text] = await tiny({ decoder });
    expect(text!.weights).toBe(decoder.weights);
    const running = tiny({ decoder, onToken: () => decoder.train() });
    await expect(running).rejects.toMatchObject({ code: 'internal' });
  });

  it('can be cancelled before it begins', async () => {
    const decoder = new TinyRnn();
    const running = tiny({ decoder, signal: AbortSignal.abort() });
    await expect(running).rejects.toMatchObject({ code: 'cancelled', exitStatus: 1 });
    expect([decoder.open, decoder.steps]).toEqual([0, 0]);
  });
});
