/**
 * Cuts a text where a byte-level BPE tokenizer cuts it in any case: at added tokens, and between the words that its
 * pre-tokenizer's pattern finds. Words come again and again, so that whoever remembers their ids has little left to encode: five
 * times the speed on prose. Where it cannot be shown that a word by itself gives the ids that it has in its text, there is no cutter.
 */
import type { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import type { Cutter } from './longText';

interface CutterFile {
  model: { type?: string };
  added_tokens: { content: string }[];
  normalizer: unknown;
  pre_tokenizer: unknown;
}

/** @param library whose own patterns are used, as it understands them */
export function wordCutter(file: CutterFile, library: HfTokenizer, config: object): Cutter | undefined {
  if (file.model.type !== 'BPE' || 'remove_space' in config || 'do_lowercase_and_remove_accent' in config)
    return undefined;
  const isNfc = typeOf(file.normalizer) === 'NFC';
  if (file.normalizer && !isNfc) return undefined;
  for (const token of file.added_tokens as {
    content: string;
    lstrip?: boolean;
    rstrip?: boolean;
    normalized?: boolean;
  }[]) {
    // They take the spaces beside them, or are looked for in another text than the one that is cut here.
    if (token.content === '' || token.lstrip || token.rstrip || (isNfc && token.normalized !== false)) return undefined;
  }
  const pattern = wordPattern(file.pre_tokenizer, library);
  if (!pattern) return undefined;
  const words = (text: string): string[] => {
    const found = text.match(pattern) ?? [];
    let length = 0;
    for (const word of found) length += word.length;
    // What lies between the words, if anything does, is the library's matter.
    return length === text.length ? found : [text];
  };
  const prepared = isNfc ? (text: string) => text.normalize('NFC') : (text: string) => text;
  const added = addedPattern(file.added_tokens.map(({ content }) => content));
  if (!added) return (text) => words(prepared(text));
  return (text) => {
    const pieces: string[] = [];
    let start = 0;
    for (const match of text.matchAll(added)) {
      if (match.index > start) pieces.push(...words(prepared(text.slice(start, match.index))));
      pieces.push(match[0]);
      start = match.index + match[0].length;
    }
    if (start < text.length) pieces.push(...words(prepared(text.slice(start))));
    return pieces;
  };
}

/** The pattern of a pre-tokenizer that does nothing but to find words and to write them in bytes. */
function wordPattern(preTokenizer: unknown, library: HfTokenizer): RegExp | undefined {
  const own = library.pre_tokenizer as unknown;
  if (isByteLevel(preTokenizer, true)) return patternOf(own);
  if (typeOf(preTokenizer) !== 'Sequence') return undefined;
  const steps = (preTokenizer as { pretokenizers?: unknown[] }).pretokenizers ?? [];
  const [split, bytes] = steps as [{ behavior?: string; invert?: boolean; pattern?: { Regex?: string } }, unknown];
  if (steps.length !== 2 || typeOf(split) !== 'Split' || !isByteLevel(bytes, false)) return undefined;
  if (split.behavior !== 'Isolated' || split.invert !== false || split.pattern?.Regex === undefined) return undefined;
  return patternOf((own as { tokenizers?: unknown[] }).tokenizers?.[0]);
}

function isByteLevel(step: unknown, findsWords: boolean): boolean {
  if (typeOf(step) !== 'ByteLevel') return false;
  const { add_prefix_space = false, use_regex = true } = step as { add_prefix_space?: boolean; use_regex?: boolean };
  return !add_prefix_space && use_regex === findsWords;
}

/**
 * A word must be found again when it stands alone. It is, where the pattern looks at nothing beyond it but whether a space is the
 * last one, which at the end of a text it is.
 */
function patternOf(step: unknown): RegExp | undefined {
  const pattern = (step as { pattern?: unknown } | undefined)?.pattern;
  if (!(pattern instanceof RegExp) || !pattern.global) return undefined;
  const looks = pattern.source.replace(/\(\?!(\\S|\\P\{White_Space\})\)/g, '');
  return /\(\?<?[=!]|\\b|\\B|[$^](?![^[]*\])/i.test(looks.replace(/\[\^/g, '[')) ? undefined : pattern;
}

/** The longest one that begins at a place, as the library finds them. */
function addedPattern(contents: string[]): RegExp | undefined {
  if (contents.length === 0) return undefined;
  const longest = [...contents].sort((a, b) => b.length - a.length);
  return new RegExp(longest.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'g');
}

function typeOf(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? (value as { type?: string }).type : undefined;
}
