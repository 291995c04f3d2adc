/**
 * Logits processors: what changes the model's scores before a token is chosen. Each does what the class of the same
 * name does in transformers (5.x, `generation/logits_process.py`), in float32 and with the same ties.
 */
import type { GenerationRecipe } from '@protocol/recipe';
import { topK } from './topK';

/**
 * Changes one row's scores in place.
 * @param history prompt and generated tokens of the row
 * @param scores `[vocabSize]`, float32
 */
export type LogitsProcessor = (history: Int32Array, scores: Float32Array) => void;

export type ProcessorOptions = Pick<
  GenerationRecipe,
  'do_sample' | 'temperature' | 'top_k' | 'top_p' | 'repetition_penalty' | 'no_repeat_ngram_size'
>;

/**
 * The processors that the options ask for, in transformers' order: repetition penalty, n-grams, and only where
 * tokens are drawn temperature, top-k, top-p.
 *
 * @param minTokensToKeep tokens that top-k and top-p always leave. transformers: 1, and with beams one more than
 *   there are end-of-sequence tokens, so that a beam can always go on.
 */
export function logitsProcessors(options: ProcessorOptions, minTokensToKeep = 1): LogitsProcessor[] {
  const list: LogitsProcessor[] = [];
  if (options.repetition_penalty !== 1) list.push(repetitionPenalty(options.repetition_penalty));
  if (options.no_repeat_ngram_size > 0) list.push(noRepeatNgram(options.no_repeat_ngram_size));
  if (!options.do_sample) return list;
  if (options.temperature !== 1) list.push(temperature(options.temperature));
  if (options.top_k > 0) list.push(topKFilter(options.top_k, minTokensToKeep));
  if (options.top_p < 1) list.push(topPFilter(options.top_p, minTokensToKeep));
  return list;
}

/** Scores of tokens that came already: s → s / penalty where s ≥ 0, s · penalty below (Keskar et al. 2019, CTRL). */
function repetitionPenalty(penalty: number): LogitsProcessor {
  const factor = Math.fround(penalty);
  return (history, scores) => {
    // A token that came twice is punished once.
    for (const token of new Set(history)) {
      const score = scores[token];
      if (score !== undefined) scores[token] = score < 0 ? score * factor : score / factor;
    }
  };
}

/** Forbids every token that would complete an n-gram which the row, prompt included, already holds. */
function noRepeatNgram(size: number): LogitsProcessor {
  return (history, scores) => {
    const suffix = history.length - size + 1;
    for (let start = 0; start + size <= history.length; start++) {
      let matches = true;
      for (let k = 0; k < size - 1 && matches; k++) matches = history[start + k] === history[suffix + k];
      const banned = history[start + size - 1]!;
      if (matches && banned < scores.length) scores[banned] = Number.NEGATIVE_INFINITY;
    }
  };
}

/** s → s / T. */
function temperature(value: number): LogitsProcessor {
  const divisor = Math.fround(value);
  return (_history, scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / divisor;
  };
}

/** Leaves the k largest scores, and all that equal the k-th (Fan et al. 2018). */
function topKFilter(k: number, minTokensToKeep = 1): LogitsProcessor {
  const kept = Math.max(k, minTokensToKeep);
  return (_history, scores) => {
    if (kept >= scores.length) return;
    const threshold = scores[topK(scores, kept)[kept - 1]!]!;
    for (let i = 0; i < scores.length; i++) if (scores[i]! < threshold) scores[i] = Number.NEGATIVE_INFINITY;
  };
}

/**
 * Nucleus (Holtzman et al. 2020): drops the least likely tokens whose probabilities add up to at most 1 − p.
 * Of equal scores on the border those with the lower ids go first; in transformers torch.sort leaves that open.
 */
export function topPFilter(p: number, minTokensToKeep = 1): LogitsProcessor {
  const dropped = Math.fround(1 - p);
  return (_history, scores) => {
    // -Infinity has no probability and is gone already: only the rest is sorted.
    const sorted = scores.filter((score) => score !== Number.NEGATIVE_INFINITY).sort();
    const max = sorted[sorted.length - 1];
    if (max === undefined) return;
    let total = 0;
    for (const score of sorted) total += Math.exp(score - max);
    let mass = 0;
    let drop = 0;
    const most = sorted.length - minTokensToKeep;
    while (drop < most) {
      mass += Math.exp(sorted[drop]! - max) / total;
      if (Math.fround(mass) > dropped) break;
      drop++;
    }
    if (drop === 0) return;
    const border = sorted[drop]!;
    let dropAtBorder = drop - sorted.indexOf(border);
    for (let i = 0; i < scores.length; i++) {
      if (scores[i]! < border || (scores[i] === border && dropAtBorder-- > 0)) scores[i] = Number.NEGATIVE_INFINITY;
    }
  };
}
