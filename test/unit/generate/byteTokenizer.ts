import { Tokenizer } from '@huggingface/tokenizers';
import { trainBpe } from '@runner/data/bpe';
import type { GenerationTokenizer } from '@runner/generate/generate';

const SAMPLE = 'the old mage of the north and the old sword of the south. stop the mage! the end of the road';

/**
 * A real byte-level tokenizer: every byte is a token, and some English pairs. What is not English takes as many
 * tokens as it has bytes, so characters are cut in pieces.
 */
export function byteTokenizer(): GenerationTokenizer & { vocabSize: number } {
  const tokenizer = new Tokenizer(trainBpe(SAMPLE, { vocabSize: 290, specialTokens: ['<|endoftext|>'] }), {});
  return {
    vocabSize: tokenizer.get_vocab().size,
    eosTokenId: 0,
    encodeStart: (text) => Int32Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids),
    decode: (ids, { skipSpecialTokens }) =>
      ids.length === 0
        ? ''
        : tokenizer.decode([...ids], {
            skip_special_tokens: skipSpecialTokens,
            clean_up_tokenization_spaces: false,
          }),
  };
}
