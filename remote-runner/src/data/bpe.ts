/**
 * Trains a byte-level BPE vocabulary and writes it as a Hugging Face `tokenizer.json`.
 *
 * Sources: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (ACL 2016),
 * algorithm 1; byte alphabet and pre-tokenization of GPT-2 (Radford et al. 2019). Ids are laid out, and ties broken,
 * as by the trainer of Hugging Face's `tokenizers`, so that both learn the same vocabulary from the same text.
 *
 * Counting all pairs anew for each merge takes minutes for a novel. Here a merge only touches the words that hold
 * the merged pair: counts are kept up to date, and a heap whose stale entries are dropped when they surface gives
 * the next pair.
 */
import { TuneyardError } from '@protocol/errors';
import { BYTE_TO_CHAR, toByteChars } from './byteAlphabet';
import { MergeHeap } from './mergeHeap';

/** GPT-2's split into words, numbers, punctuation and space; no merge crosses its pieces. */
const WORD_PATTERN = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

export interface TrainBpeOptions {
  /** Tokens in all: special ones, the 256 bytes, and merges. Fewer are made where the text has no pair left. */
  vocabSize: number;
  /** They get the first ids, in this order. Default: `["<|endoftext|>"]`. */
  specialTokens?: readonly string[];
  /** A pair must come so often to be merged. Default 2. */
  minFrequency?: number;
}

interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

interface ByteLevel {
  type: 'ByteLevel';
  add_prefix_space: boolean;
  trim_offsets: boolean;
  use_regex: boolean;
}

/** The part of Hugging Face's `tokenizer.json` format (version 1.0) that a byte-level BPE tokenizer uses. */
export interface TokenizerJson {
  version: '1.0';
  truncation: null;
  padding: null;
  added_tokens: AddedToken[];
  normalizer: null;
  pre_tokenizer: ByteLevel;
  post_processor: ByteLevel;
  decoder: ByteLevel;
  model: {
    type: 'BPE';
    dropout: null;
    unk_token: null;
    continuing_subword_prefix: null;
    end_of_word_suffix: null;
    fuse_unk: boolean;
    byte_fallback: boolean;
    ignore_merges: boolean;
    vocab: Record<string, number>;
    merges: string[];
  };
}

/**
 * Learns a vocabulary from text. Synchronous: about 2 s for 4,096 tokens from 1.2 MB.
 *
 * @param texts one text, or several (no pair is counted across two of them)
 * @throws TuneyardError `usage` where vocabSize leaves no room for special tokens and bytes, or a special token
 *   comes twice; `dataset_empty` where there is no text
 */
export function trainBpe(texts: string | Iterable<string>, options: TrainBpeOptions): TokenizerJson {
  const specialTokens = options.specialTokens ?? ['<|endoftext|>'];
  const minFrequency = options.minFrequency ?? 2;
  const smallest = specialTokens.length + BYTE_TO_CHAR.length;
  if (!Number.isInteger(options.vocabSize) || options.vocabSize < smallest) {
    throw new TuneyardError(
      'usage',
      `a byte-level vocabulary needs at least ${smallest} tokens (256 bytes and ${specialTokens.length} special), not ${options.vocabSize}.`,
    );
  }
  const tokens = [...specialTokens, ...[...BYTE_TO_CHAR].sort()];
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  if (idOf.size !== tokens.length) {
    throw new TuneyardError('usage', 'special tokens must differ from each other and from single bytes.');
  }
  const corpus = new Corpus(countWords(typeof texts === 'string' ? [texts] : texts), idOf);
  if (corpus.size === 0) throw new TuneyardError('dataset_empty', 'there is no text to learn a vocabulary from.');

  const merges: string[] = [];
  while (tokens.length < options.vocabSize) {
    const pair = corpus.mostFrequent(minFrequency);
    if (!pair) break;
    const [left, right] = pair;
    const token = tokens[left]! + tokens[right]!;
    // Two ways of merging can spell the same token ("ab"+"c", "a"+"bc"): it keeps its id.
    let id = idOf.get(token);
    if (id === undefined) {
      id = tokens.length;
      tokens.push(token);
      idOf.set(token, id);
    }
    merges.push(`${tokens[left]} ${tokens[right]}`);
    corpus.merge(left, right, id);
  }
  return toTokenizerJson(specialTokens, idOf, merges);
}

/** Words in the byte alphabet and how often each comes. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(WORD_PATTERN)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** The distinct words as token ids, with the counts of their adjacent pairs kept up to date. */
class Corpus {
  private readonly words: number[][] = [];
  private readonly frequencies: number[] = [];
  private readonly counts = new Map<number, number>();
  /** pair → words that hold it, or held it once (those are skipped when they are met). */
  private readonly places = new Map<number, number[]>();
  private readonly heap = new MergeHeap();

  constructor(counts: Map<string, number>, idOf: Map<string, number>) {
    for (const [word, frequency] of counts) {
      const ids = Array.from(toByteChars(word), (char) => idOf.get(char)!);
      const index = this.words.push(ids) - 1;
      this.frequencies.push(frequency);
      this.count(index, 1);
    }
    for (const [key, count] of this.counts) this.heap.push(count, key);
  }

  get size(): number {
    return this.words.length;
  }

  /** The pair that comes most often; of equals the one with the lower ids. */
  mostFrequent(minFrequency: number): [left: number, right: number] | undefined {
    for (let top = this.heap.pop(); top; top = this.heap.pop()) {
      const count = this.counts.get(top.key) ?? 0;
      if (count === top.count) {
        return count < Math.max(minFrequency, 1) ? undefined : [Math.floor(top.key / KEY_BASE), top.key % KEY_BASE];
      }
      // Counts only grow where a push follows, so the entry is too high: put it back where it belongs.
      if (count > 0 && count < top.count) this.heap.push(count, top.key);
    }
    return undefined;
  }

  /** Replaces the pair by `id` in all words, left to right. */
  merge(left: number, right: number, id: number): void {
    const grown = new Set<number>();
    const places = this.places.get(pairKey(left, right)) ?? [];
    this.places.delete(pairKey(left, right));
    for (const index of places) {
      const word = this.words[index]!;
      const merged: number[] = [];
      for (let i = 0; i < word.length; i++) {
        const hit = word[i] === left && word[i + 1] === right;
        merged.push(hit ? id : word[i]!);
        if (hit) i++;
      }
      if (merged.length === word.length) continue;
      this.count(index, -1);
      this.words[index] = merged;
      this.count(index, 1, id, grown);
    }
    for (const key of grown) this.heap.push(this.counts.get(key)!, key);
  }

  /** Adds (sign 1) or takes away (−1) a word's pairs; `grown` collects those that hold the token `fresh`. */
  private count(index: number, sign: 1 | -1, fresh?: number, grown?: Set<number>): void {
    const word = this.words[index]!;
    const change = sign * this.frequencies[index]!;
    for (let i = 0; i + 1 < word.length; i++) {
      const key = pairKey(word[i]!, word[i + 1]!);
      const count = (this.counts.get(key) ?? 0) + change;
      if (count === 0) this.counts.delete(key);
      else this.counts.set(key, count);
      const isNew = fresh === undefined || word[i] === fresh || word[i + 1] === fresh;
      if (sign < 0 || !isNew) continue;
      const places = this.places.get(key);
      if (places) places.push(index);
      else this.places.set(key, [index]);
      grown?.add(key);
    }
  }
}

/** A pair of ids in one number that orders as the pair does; exact for ids below 2^26. */
const KEY_BASE = 2 ** 26;
const pairKey = (left: number, right: number): number => left * KEY_BASE + right;

function toTokenizerJson(specialTokens: readonly string[], idOf: Map<string, number>, merges: string[]): TokenizerJson {
  const byteLevel = (add_prefix_space: boolean, trim_offsets: boolean): ByteLevel => ({
    type: 'ByteLevel',
    add_prefix_space,
    trim_offsets,
    use_regex: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel(false, true),
    post_processor: byteLevel(true, false),
    decoder: byteLevel(true, true),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(idOf),
      merges,
    },
  };
}
