/**
 * What text generation needs of a model: feed the prompts once, then one token a row, with the key/value caches
 * kept on the model's side. Search and sampling are written against this and know nothing of graphs or engines.
 */

/** Decoding state of `rows` sequences with their key/value caches. */
export interface DecodeState {
  readonly rows: number;
  /** Row-major `[rows, vocabSize]`: scores of the token that follows each row's last one. Updated in place. */
  readonly logits: Float32Array;
  /** `[rows]`: how many tokens lie in each row's cache. Grows by one with each step and moves with {@link reorder}. */
  readonly lengths: Int32Array;
  /**
   * Appends one token to each row and computes the next logits.
   * @param tokens `[rows]`. A row whose text is finished gets any token of the vocabulary.
   */
  step(tokens: Int32Array): Promise<void>;
  /**
   * Row i becomes a copy of what row `source[i]` was before the call: cache and length, not necessarily the logits.
   * @param source `[rows]`
   */
  reorder(source: Int32Array): Promise<void>;
  /** Frees the caches; the state is not used afterwards. */
  release(): void;
}

export interface Decoder {
  /**
   * Hash of the weights that the next logits are computed with, as {@link hashWeights} makes it. It is asked of the
   * decoder, not kept beside it, so that a text can never be stamped with the name of other weights.
   */
  readonly weights: string;
  /** Width of the logits. */
  readonly vocabSize: number;
  /** Positions the model has: prompt and new tokens together. */
  readonly maxLength: number;
  /**
   * Runs the prompts through the model.
   * @param prompts token ids, of unlike lengths, none empty
   * @param beams above 1: each prompt becomes so many equal rows, adjacent
   * @param capacity tokens that a row's cache must hold in the end, at most `maxLength`
   */
  prefill(prompts: readonly Int32Array[], beams: number, capacity: number): Promise<DecodeState>;
}
