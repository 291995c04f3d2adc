/** How varied a text is: figures by which a person sees at a glance that a model repeats itself. */
import type { TextMetrics, TextRange } from '@protocol/compare';

interface Word extends TextRange {
  text: string;
}

// Unicode's word boundaries (UAX #29) hold for scripts without spaces, too.
const segmenter = new Intl.Segmenter('und', { granularity: 'word' });

/**
 * Distinct-n after Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", §5.2:
 * the number of different n-grams, divided by the number of words (for pairs as well, as in the paper) so that long
 * texts are not favoured. No pair reaches from one text into the next.
 *
 * @param texts one text, or several that are counted together
 */
export function textMetrics(texts: string | readonly string[]): TextMetrics {
  let words = 0;
  const unigrams = new Set<string>();
  const bigrams = new Set<string>();
  for (const text of typeof texts === 'string' ? [texts] : texts) {
    const found = wordsOf(text);
    words += found.length;
    for (const word of found) unigrams.add(word.text);
    for (const bigram of ngramsOf(found, 2)) bigrams.add(bigram);
  }
  return {
    words,
    unique_words: unigrams.size,
    distinct_1: words === 0 ? 0 : unigrams.size / words,
    distinct_2: words === 0 ? 0 : bigrams.size / words,
  };
}

/**
 * Where a text says again what it said before: the stretches covered by n-grams of words that came earlier in it.
 * Overlapping ones are joined.
 */
export function repeatedNgrams(text: string, n = 4): TextRange[] {
  const words = wordsOf(text);
  const seen = new Set<string>();
  const ranges: TextRange[] = [];
  for (const [i, ngram] of ngramsOf(words, n).entries()) {
    if (!seen.has(ngram)) {
      seen.add(ngram);
      continue;
    }
    const start = words[i]!.start;
    const end = words[i + n - 1]!.end;
    const last = ranges[ranges.length - 1];
    if (last && start <= last.end) last.end = end;
    else ranges.push({ start, end });
  }
  return ranges;
}

function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const { segment, index, isWordLike } of segmenter.segment(text)) {
    if (isWordLike) words.push({ text: segment.toLowerCase(), start: index, end: index + segment.length });
  }
  return words;
}

function ngramsOf(words: readonly Word[], n: number): string[] {
  const ngrams: string[] = [];
  for (let i = 0; i + n <= words.length; i++) {
    ngrams.push(
      words
        .slice(i, i + n)
        .map((word) => word.text)
        .join(' '),
    );
  }
  return ngrams;
}
