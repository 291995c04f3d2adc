/**
 * Near-duplicates by MinHash and locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.3–3.4).
 *
 * A text is the set of its runs of 3 words (of 5 characters, where a script has no spaces), in lower case, without marks. Two
 * texts are near-duplicates when their sets have a Jaccard similarity of about 0.8: of 64 minima, all drawn with a fixed seed, at
 * least 0.8 agree. Of a minimum its last byte is kept. Only pairs of which 4 bytes in a row agree in one of 16 bands are compared:
 * of pairs with similarity s that is 1 − (1 − s⁴)¹⁶, which is 0.9998 at 0.8 and 0.64 at 0.5.
 */
export const MINIMA = 64;
const ROWS_A_BAND = 4;
/** A band is 32 bits of the minima's bytes. */
export const BANDS = MINIMA / ROWS_A_BAND;
const WORDS = 3;
const CHARACTERS = 5;
/** Texts with fewer runs are too short to be nearly the same. */
const FEWEST = 6;
/** The rest of a very long text says little more. */
const MOST_CHARACTERS = 20_000;

const WORD = /[\p{L}\p{M}\p{N}]+/gu;
/** Scripts that are written without spaces. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** Odd multipliers and masks of the 64 functions; always the same ones. */
const [MULTIPLIERS, MASKS] = constants();

/** @returns [64] the last byte of each minimum; undefined for a text that is too short */
export function minHashes(text: string): Uint8Array | undefined {
  const shingles = shingleHashes(text.slice(0, MOST_CHARACTERS));
  if (shingles.length < FEWEST) return undefined;
  const minima = new Uint32Array(MINIMA).fill(0xffffffff);
  for (const shingle of shingles) {
    for (let i = 0; i < MINIMA; i++) {
      let value = Math.imul(shingle ^ MASKS[i]!, MULTIPLIERS[i]!);
      value = (value ^ (value >>> 15)) >>> 0;
      if (value < minima[i]!) minima[i] = value;
    }
  }
  return Uint8Array.from(minima, (value) => value & 0xff);
}

/** About how similar two texts are (Jaccard), from the last bytes of their minima; a byte agrees by chance once in 256. */
export function similarity(a: Uint8Array, b: Uint8Array): number {
  let same = 0;
  for (let i = 0; i < MINIMA; i++) if (a[i] === b[i]) same++;
  return Math.max(0, (same / MINIMA - 1 / 256) / (1 - 1 / 256));
}

/** Different ones, in no order. */
function shingleHashes(text: string): number[] {
  const lower = text.toLowerCase();
  const hashes = new Set<number>();
  if (UNSPACED.test(lower.slice(0, 500))) {
    const letters = (lower.match(WORD) ?? []).join('');
    for (let i = 0; i + CHARACTERS <= letters.length; i++) hashes.add(hashOf(letters, i, i + CHARACTERS));
    return [...hashes];
  }
  const words = (lower.match(WORD) ?? []).map((word) => hashOf(word, 0, word.length));
  for (let i = 0; i + WORDS <= words.length; i++) {
    hashes.add(mix(words[i]! ^ mix(words[i + 1]! ^ mix(words[i + 2]!))));
  }
  return [...hashes];
}

function hashOf(text: string, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function constants(): [Int32Array, Int32Array] {
  const multipliers = new Int32Array(MINIMA);
  const masks = new Int32Array(MINIMA);
  let state = 0x9e3779b9;
  for (let i = 0; i < MINIMA; i++) {
    state = mix(state + 0x6d2b79f5);
    multipliers[i] = state | 1;
    state = mix(state + 0x6d2b79f5);
    masks[i] = state;
  }
  return [multipliers, masks];
}
