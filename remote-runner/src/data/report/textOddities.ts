/** What is odd about a text's characters, and which script it is written in. */

/** The commonest signs of UTF-8 that was read as Windows-1252, and once more. */
const MOJIBAKE = /Ã[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\u0080-\u00bf™œ˜¦“”žŸ¢]|Â[\u00a0-\u00bf]|ï»¿|ðŸ/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]/;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** Marks without width, in which text from the web hides; the joiners belong to emoji and to Indic and Persian words. */
const INVISIBLE = /[\u200b\u2060\ufeff\u00ad]/;
const BIDI_CONTROL = /[\u202a-\u202e\u2066-\u2069]/;

export function findOddity(text: string): string | undefined {
  if (text.includes('\ufffd')) return 'holds “�”: characters were lost when it was converted';
  if (LONE_SURROGATE.test(text)) return 'holds half a character (a lone surrogate)';
  const control = CONTROL.exec(text)?.[0];
  if (control !== undefined) {
    const code = control.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    return code === '0000' ? 'holds a NUL character' : `holds a control character (U+${code})`;
  }
  const mojibake = MOJIBAKE.exec(text)?.[0];
  if (mojibake !== undefined) return `looks decoded wrongly (“${mojibake}”)`;
  if (BIDI_CONTROL.test(text)) return 'holds marks that turn the direction of text';
  if (INVISIBLE.test(text)) return 'holds characters that cannot be seen';
  if (text.includes('\r') && /(^|[^\r])\n/.test(text)) return 'mixes line endings (CRLF and LF)';
  return undefined;
}

/** Where letters of each script lie: first and last code point, without the rarer blocks. */
const RANGES: readonly [from: number, to: number, script: string][] = [
  [0x41, 0x5a, 'Latin'],
  [0x61, 0x7a, 'Latin'],
  [0xc0, 0x24f, 'Latin'],
  [0x370, 0x3ff, 'Greek'],
  [0x400, 0x52f, 'Cyrillic'],
  [0x530, 0x58f, 'Armenian'],
  [0x590, 0x5ff, 'Hebrew'],
  [0x600, 0x6ff, 'Arabic'],
  [0x750, 0x77f, 'Arabic'],
  [0x900, 0x97f, 'Devanagari'],
  [0x980, 0x9ff, 'Bengali'],
  [0xa00, 0xa7f, 'Gurmukhi'],
  [0xa80, 0xaff, 'Gujarati'],
  [0xb80, 0xbff, 'Tamil'],
  [0xc00, 0xc7f, 'Telugu'],
  [0xc80, 0xcff, 'Kannada'],
  [0xd00, 0xd7f, 'Malayalam'],
  [0xe00, 0xe7f, 'Thai'],
  [0xe80, 0xeff, 'Lao'],
  [0x1000, 0x109f, 'Myanmar'],
  [0x10a0, 0x10ff, 'Georgian'],
  [0x1100, 0x11ff, 'Hangul'],
  [0x1200, 0x137f, 'Ethiopic'],
  [0x1780, 0x17ff, 'Khmer'],
  [0x1e00, 0x1eff, 'Latin'],
  [0x1f00, 0x1fff, 'Greek'],
  [0x3040, 0x30ff, 'Japanese'],
  [0x3400, 0x4dbf, 'Han'],
  [0x4e00, 0x9fff, 'Han'],
  [0xac00, 0xd7a3, 'Hangul'],
  [0xf900, 0xfaff, 'Han'],
];
export const SCRIPTS: readonly string[] = [...new Set(RANGES.map(([, , script]) => script))];
/** [0x10000] the number of each code unit's script in SCRIPTS, plus 1; 0: none. */
const SCRIPT_OF = scriptTable();
/** Enough to know what a text is written in. */
const LOOKED_AT = 2_000;

/**
 * Adds the letters of each script to `counts`.
 * @param counts [SCRIPTS.length]
 * @returns the number of the script that most letters are of; −1 where there are none
 */
export function countScripts(text: string, counts: Float64Array): number {
  const mine = new Uint32Array(SCRIPTS.length);
  const end = Math.min(text.length, LOOKED_AT);
  for (let i = 0; i < end; i++) {
    const script = SCRIPT_OF[text.charCodeAt(i)]!;
    if (script > 0) mine[script - 1]!++;
  }
  let most = -1;
  for (let i = 0; i < mine.length; i++) {
    counts[i]! += mine[i]!;
    if (mine[i]! > (most < 0 ? 0 : mine[most]!)) most = i;
  }
  // Japanese is written with Han too: a part of kana says that it is.
  const [han, kana] = [SCRIPTS.indexOf('Han'), SCRIPTS.indexOf('Japanese')];
  return most === han && mine[kana]! * 10 > mine[han]! ? kana : most;
}

function scriptTable(): Uint8Array {
  const table = new Uint8Array(0x10000);
  for (const [from, to, script] of RANGES) table.fill(SCRIPTS.indexOf(script) + 1, from, to + 1);
  return table;
}
