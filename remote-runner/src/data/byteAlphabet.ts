/**
 * The byte alphabet of GPT-2: a printable character for each of the 256 bytes, so that any text, in any language,
 * is a string over 256 symbols and no token is ever unknown.
 *
 * Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2, and the code
 * released with it. Bytes that print (33–126, 161–172, 174–255) stand for themselves; the other 68 take the
 * characters from U+0100 on, in byte order (so a space is "Ġ" and a line feed is "Ċ").
 */

/** byte (0–255) → its character. */
export const BYTE_TO_CHAR: readonly string[] = buildAlphabet();

function buildAlphabet(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(prints ? byte : next++);
  });
}

/** The UTF-8 bytes of a text, written in the alphabet. */
export function toByteChars(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) out += BYTE_TO_CHAR[byte];
  return out;
}
