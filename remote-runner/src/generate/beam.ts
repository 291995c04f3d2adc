/**
 * Beam search as transformers 5.x does it (`generation/utils.py`, `_beam_search`): candidates are the best
 * `beams · max(2, 1 + eos tokens)` continuations of all running beams; of those that end, only the best `beams` are
 * taken as hypotheses, with score Σ log p / length^penalty; scores are float32 and log-softmax comes before the
 * processors. transformers searches a batch jointly; as its prompts do not influence each other, each is searched
 * on its own here, over one shared cache.
 */
import {
  breathe,
  cacheCapacity,
  type DecodedRow,
  type DecodeRequest,
  type FinishReason,
  maxScore,
  recycleFullRows,
} from './decodeRequest';
import type { Decoder } from './decoder';
import type { LogitsProcessor } from './logits';
import { topK } from './topK';

export interface BeamOptions {
  numBeams: number;
  lengthPenalty: number;
  /** End a prompt's search as soon as it has `numBeams` hypotheses. */
  earlyStopping: boolean;
  /** Draw the candidates instead of taking the best. */
  doSample: boolean;
  processors: readonly LogitsProcessor[];
  eosTokenIds: readonly number[];
  signal?: AbortSignal | undefined;
  /** Whether a request's new tokens hold a stop string. */
  isStopped?: (index: number, newTokens: Int32Array) => boolean;
}

export interface BeamRow extends DecodedRow {
  /** Every hypothesis kept, best first: its new tokens, and Σ log p / length^penalty. At most `numBeams`. */
  hypotheses: { ids: Int32Array; score: number }[];
}

/** What transformers adds to a score to put it out of the race. */
const OUT = -1e9;

interface Candidate {
  /** Row within the prompt's beams that it continues. */
  parent: number;
  /** Prompt and new tokens. */
  history: Int32Array;
  /** Why it ends here; undefined where it can go on. */
  ends: FinishReason | undefined;
}

/**
 * Continues every request by its best hypothesis.
 * @returns a row a request, in their order
 * @throws TuneyardError `cancelled`, `not_finite`
 */
export async function beamSearch(
  decoder: Decoder,
  requests: readonly DecodeRequest[],
  options: BeamOptions,
): Promise<BeamRow[]> {
  const started = performance.now();
  const { numBeams } = options;
  const capacity = cacheCapacity(requests);
  const searches = requests.map((request, index) => new PromptSearch(index, request, decoder.vocabSize, options));
  const results = new Map<PromptSearch, BeamRow>();
  const isOpen = (row: number) => !results.has(searches[Math.floor(row / numBeams)]!);

  await breathe(options.signal);
  const state = await decoder.prefill(
    requests.map(({ ids }) => ids),
    numBeams,
    capacity,
  );
  try {
    const width = numBeams * decoder.vocabSize;
    const next = new Int32Array(state.rows);
    const source = new Int32Array(state.rows);
    for (;;) {
      for (let row = 0; row < source.length; row++) source[row] = row;
      for (const [index, search] of searches.entries()) {
        if (results.has(search)) continue;
        const goesOn = search.advance(state.logits.slice(index * width, (index + 1) * width));
        if (!goesOn) results.set(search, { ...search.result(), seconds: (performance.now() - started) / 1000 });
        for (const [beam, { parent, history }] of search.running.entries()) {
          source[index * numBeams + beam] = index * numBeams + parent;
          next[index * numBeams + beam] = history[history.length - 1]!;
        }
      }
      if (results.size === searches.length) break;
      await breathe(options.signal);
      recycleFullRows(source, state.lengths, capacity, isOpen);
      if (source.some((from, row) => from !== row)) await state.reorder(source);
      await state.step(next);
    }
  } finally {
    state.release();
  }
  return searches.map((search) => results.get(search)!);
}

/** The search of one prompt: its running beams and the hypotheses found so far. */
class PromptSearch {
  running: Candidate[];
  private runningScores: Float32Array;
  private hypotheses: (Candidate | undefined)[];
  private hypothesisScores: Float32Array;
  private newTokens = 0;

  constructor(
    private readonly index: number,
    private readonly request: DecodeRequest,
    private readonly vocabSize: number,
    private readonly options: BeamOptions,
  ) {
    const { numBeams } = options;
    this.running = Array.from({ length: numBeams }, (_, parent) => ({
      parent,
      history: request.ids,
      ends: undefined,
    }));
    // All beams are equal at first: only the first one counts, or its best token would be taken numBeams times.
    this.runningScores = new Float32Array(numBeams).fill(OUT, 1);
    this.hypotheses = new Array<undefined>(numBeams).fill(undefined);
    this.hypothesisScores = new Float32Array(numBeams).fill(OUT);
  }

  /**
   * One step.
   * @param logits `[beams, vocabSize]` of the running beams; used up
   * @returns whether the search goes on
   */
  advance(logits: Float32Array): boolean {
    const { numBeams, eosTokenIds, doSample } = this.options;
    for (const [beam, { history }] of this.running.entries()) {
      const scores = logits.subarray(beam * this.vocabSize, (beam + 1) * this.vocabSize);
      logSoftmax(scores);
      for (const process of this.options.processors) process(history, scores);
      const sum = this.runningScores[beam]!;
      for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! + sum;
    }
    const count = Math.max(2, 1 + eosTokenIds.length) * numBeams;
    const picks = doSample ? this.draw(logits, count) : topK(logits, count);
    const scores = Float32Array.from(picks, (pick) => logits[pick]!);
    this.newTokens++;
    const candidates = Array.from(picks, (pick) =>
      this.candidate(Math.floor(pick / this.vocabSize), pick % this.vocabSize),
    );

    const open = scores.map((score, i) => score + (candidates[i]!.ends ? OUT : 0));
    const best = topK(open, numBeams);
    const parents = this.running;
    this.running = Array.from(best, (i) => candidates[i]!);
    // A tiny vocabulary may have fewer continuations than there are beams.
    for (let i = this.running.length; i < numBeams; i++) this.running.push({ ...parents[i]!, parent: i });
    this.runningScores = new Float32Array(numBeams).fill(OUT);
    this.runningScores.set(Float32Array.from(best, (i) => open[i]!));

    this.collect(candidates, scores);
    return this.canImprove() && candidates.some(({ ends }) => !ends);
  }

  /** The best hypothesis, and all of them; empty where none could be found. */
  result(): Omit<BeamRow, 'seconds'> {
    const newTokens = (hypothesis: Candidate) => hypothesis.history.slice(this.request.ids.length);
    const [best] = this.hypotheses;
    return {
      ids: best ? newTokens(best) : new Int32Array(0),
      finishReason: best?.ends ?? 'exhausted',
      hypotheses: this.hypotheses.flatMap((hypothesis, i) =>
        hypothesis ? [{ ids: newTokens(hypothesis), score: this.hypothesisScores[i]! }] : [],
      ),
    };
  }

  private candidate(parent: number, token: number): Candidate {
    const before = this.running[parent]!.history;
    const history = new Int32Array(before.length + 1);
    history.set(before);
    history[before.length] = token;
    return { parent, history, ends: this.endOf(history, token) };
  }

  private endOf(history: Int32Array, token: number): FinishReason | undefined {
    if (this.options.eosTokenIds.includes(token)) return 'eos';
    if (this.options.isStopped?.(this.index, history.subarray(this.request.ids.length))) return 'stop';
    return this.newTokens >= this.request.maxNewTokens ? 'length' : undefined;
  }

  /** Takes over candidates that ended and are better than the hypotheses so far. */
  private collect(candidates: readonly Candidate[], scores: Float32Array): void {
    const { numBeams, lengthPenalty } = this.options;
    const divisor = Math.fround(this.newTokens ** lengthPenalty);
    const all = [...this.hypotheses, ...candidates.map((c, i) => (c.ends && i < numBeams ? c : undefined))];
    const allScores = new Float32Array(all.length);
    allScores.set(this.hypothesisScores);
    for (const [i, score] of scores.entries()) {
      allScores[numBeams + i] = Math.fround(score / divisor) + (all[numBeams + i] ? 0 : OUT);
    }
    const best = topK(allScores, numBeams);
    this.hypotheses = Array.from(best, (i) => all[i]);
    this.hypothesisScores = Float32Array.from(best, (i) => allScores[i]!);
  }

  /**
   * Whether a running beam may still beat the worst hypothesis. The guess that the best running beam's score is
   * what it would have if it ended now is transformers' own, for `early_stopping: false`.
   */
  private canImprove(): boolean {
    const isFull = this.hypotheses.every((hypothesis) => hypothesis !== undefined);
    if (isFull && this.options.earlyStopping) return false;
    const possible = Math.fround(this.runningScores[0]! / Math.fround(this.newTokens ** this.options.lengthPenalty));
    return possible > (isFull ? Math.min(...this.hypothesisScores) : OUT);
  }

  /**
   * Draws without replacement, in the order drawn: adding Gumbel noise to log-probabilities and taking the largest
   * (Kool, van Hoof and Welling 2019), which is what torch.multinomial does with exponential noise.
   */
  private draw(logProbabilities: Float32Array, count: number): Int32Array {
    const noisy = logProbabilities.map((logProbability) => {
      if (logProbability === Number.NEGATIVE_INFINITY) return logProbability;
      return logProbability - Math.log(-Math.log(this.request.random.nextFloat() || Number.MIN_VALUE));
    });
    return topK(noisy, count);
  }
}

/** x → x − log Σ exp x, in place; float64 inside. */
function logSoftmax(scores: Float32Array): void {
  const max = maxScore(scores);
  let total = 0;
  for (const score of scores) total += Math.exp(score - max);
  const logTotal = Math.log(total);
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! - max - logTotal;
}
