import { TextStream } from '@runner/generate/textStream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteTokenizer } from './byteTokenizer';

const tokenizer = byteTokenizer();
const bytesOf = (text: string) => [...new TextEncoder().encode(text)].map((byte) => byteIds.get(byte)!);
// Token of each single byte: a text is fed byte by byte, the worst case for characters of several tokens.
const byteIds = new Map<number, number>();
for (let code = 0; code < 0x800; code++) {
  const bytes = new TextEncoder().encode(String.fromCodePoint(code));
  const ids = tokenizer.encodeStart(String.fromCodePoint(code));
  if (ids.length === bytes.length) for (const [i, byte] of bytes.entries()) byteIds.set(byte, ids[i]!);
}
for (const character of ['가', '\u{10000}', '￿', '\u{40000}', '\u{80000}', '\u{c0000}', '\u{100000}', 'ࠀ', 'က']) {
  const bytes = new TextEncoder().encode(character);
  for (const [i, id] of tokenizer.encodeStart(character).entries()) byteIds.set(bytes[i]!, id);
}
for (let lead = 0xe0; lead <= 0xef; lead++) {
  const character = new TextDecoder().decode(Uint8Array.of(lead, lead === 0xe0 ? 0xa0 : 0x90, 0x80));
  byteIds.set(lead, tokenizer.encodeStart(character)[0]!);
}

function feed(text: string, stops: string[] = [], prompt = 'the '): { pieces: string[]; stream: TextStream } {
  const stream = new TextStream(tokenizer, tokenizer.encodeStart(prompt), stops);
  const pieces: string[] = [];
  for (const id of bytesOf(text)) {
    pieces.push(stream.push(id));
    if (stream.stopped) break;
  }
  pieces.push(stream.finish());
  return { pieces, stream };
}

describe('TextStream', () => {
  it('hands out every character whole and loses none', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        fc.pre(!text.endsWith('\uFFFD'));
        const { pieces, stream } = feed(text);
        expect(pieces.join('')).toBe(text);
        expect(stream.text).toBe(text);
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      }),
    );
  });

  it('never shows half an emoji while it is being written', () => {
    expect(feed('a🐉b').pieces).toEqual(['a', '', '', '', '🐉', 'b', '']);
  });

  it('leaves out the half of a character at which the text broke off', () => {
    const stream = new TextStream(tokenizer, tokenizer.encodeStart('the '));
    for (const id of bytesOf('ja 🐉').slice(0, -1)) stream.push(id);
    stream.finish();
    expect(stream.text).toBe('ja ');
  });

  it('cuts before the first stop string and shows nothing of it on the way', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', '竜') }),
        fc.uniqueArray(fc.string({ unit: fc.constantFrom('a', 'b', '竜'), minLength: 1, maxLength: 4 }), {
          maxLength: 3,
        }),
        (text, stops) => {
          const { pieces, stream } = feed(text, stops);
          // The stop string that is complete first ends the text; of those that begin in it, the longest counts.
          let end = text.length;
          for (let length = 1; length <= text.length && end === text.length; length++) {
            const found = stops.filter((stop) => text.slice(0, length).endsWith(stop));
            if (found.length > 0) end = length - Math.max(...found.map((stop) => stop.length));
          }
          expect(stream.text).toBe(text.slice(0, end));
          expect(pieces.join('')).toBe(stream.text);
        },
      ),
    );
  });

  it('hands a text out as soon as it cannot become a stop string any more', () => {
    const { pieces } = feed('ab\nUx', ['\nUser:']);
    expect(pieces).toEqual(['a', 'b', '', '', '\nUx', '']);
  });

  it('keeps the space before the first word, also of a tokenizer that drops it at the start of a text', () => {
    const words = ['▁the', '▁old', '▁mage'];
    const sentencepiece = {
      decode: (ids: Int32Array) =>
        Array.from(ids, (id) => words[id])
          .join('')
          .replaceAll('▁', ' ')
          .replace(/^ /, ''),
    };
    const stream = new TextStream(sentencepiece, Int32Array.of(0));
    expect([stream.push(1), stream.push(2)]).toEqual([' old', ' mage']);
  });
});
