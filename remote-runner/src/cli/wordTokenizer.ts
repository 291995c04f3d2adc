import type { Tokenizer } from '../data/tokenizer';

/** A word with the space before it, a punctuation mark, or what space is left. */
const WORD = /\s?[\p{L}\p{N}\p{M}]+|\s?[^\s\p{L}\p{N}\p{M}]|\s+/gu;

/**
 * Stands in for a model's tokenizer where a dataset is looked at before a model is chosen: words instead of tokens.
 * Ids are given out as words come.
 */
export function wordTokenizer(): Tokenizer {
  const words = ['⏹'];
  const ids = new Map<string, number>();
  const idOf = (word: string): number => {
    let id = ids.get(word);
    if (id === undefined) {
      id = words.push(word) - 1;
      ids.set(word, id);
    }
    return id;
  };
  const encode = (text: string) => Int32Array.from(text.match(WORD) ?? [], idOf);
  return {
    get vocabSize() {
      return words.length;
    },
    eosTokenId: 0,
    encode,
    encodeStart: encode,
    encodeContinuation: encode,
    decode: (tokens, { skipSpecialTokens = false } = {}) =>
      Array.from(tokens, (id) => (skipSpecialTokens && id === 0 ? '' : (words[id] ?? '�'))).join(''),
    tokenText: (id) => words[id] ?? '�',
  };
}
