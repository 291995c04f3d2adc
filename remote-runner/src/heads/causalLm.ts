/**
 * The causal language-model head and its loss, over a chunk of token positions at a time: logits of all tokens are
 * never in memory at once, and only positions that carry a label are computed at all.
 */

import { grad } from '../autodiff/grad';
import type { Builder } from '../graph/builder';
import { GraphError, type Value } from '../graph/ir';
import { capped } from '../models/attention';
import type { CausalLm } from '../models/causalLm';

export interface HeadShape {
  /** Positions in the chunk. */
  readonly rows: number;
  readonly hidden: number;
  readonly vocab: number;
  /** Logits z become c · tanh(z / c). */
  readonly softcap?: number | undefined;
}

/** The head of a model over so many positions. */
export const headShape = (model: CausalLm, rows: number): HeadShape => ({
  rows,
  hidden: model.hiddenSize,
  vocab: model.vocabSize,
  softcap: model.logitSoftcap,
});

/** Names of the head graph's inputs and outputs. */
export const HEAD = {
  /** float32 [rows, hidden] */
  hidden: 'hidden',
  /** float32 [vocab, hidden] */
  weight: 'weight',
  /** float32 [block, hidden]: the same weight again, in the pieces of {@link vocabularyBlocks}. */
  weightBlock: (block: number) => `weight_${block}`,
  /** int64 [rows] */
  targets: 'targets',
  /** float32 [rows]: what each position's loss is multiplied by; 0 for rows that only fill the chunk. */
  weights: 'weights',
  /** float32 []: Σ weights · losses */
  loss: 'loss',
  /** float32 []: Σ weights of the positions whose target is the likeliest token. */
  correct: 'correct',
  /** float32 [rows, hidden] */
  dHidden: 'd_hidden',
  /** float32 [block, hidden] */
  dWeight: (block: number) => `d_weight_${block}`,
  /** int64 [rows] and float32 [rows, hidden]: rows that must still be added to the weight's gradient. */
  dRowIndices: 'd_row_indices',
  dRows: 'd_rows',
  /** float32 [block, hidden]: what is in {@link HEAD.dWeight} so far, where gradients add up. */
  dWeightSoFar: (block: number) => `d_weight_so_far_${block}`,
} as const;

/** Loss and how often it is right, for evaluation. */
export function buildHeadEvaluation(g: Builder, shape: HeadShape): void {
  const { value, logits, targets, weights } = loss(g, shape);
  g.output(HEAD.loss, value);
  g.output(HEAD.correct, correct(g, shape, logits, targets, weights));
}

/** The target's logit is looked up among the others: computed by itself it would be rounded otherwise than the largest is. */
function correct(
  g: Builder,
  { rows, vocab }: HeadShape,
  logits: readonly Value[],
  targets: Value,
  weights: Value,
): Value {
  const ranges = vocabularyBlocks(vocab);
  const own = logits.map((block, i) => {
    const { from, size } = ranges[i]!;
    const place = g.sub(targets, from);
    const isHere = g.equal(place, g.max(g.min(place, size - 1), 0));
    const column = g.reshape(g.where(isHere, place, g.scalar(0, 'int64')), [rows, 1]);
    return g.where(isHere, g.reshape(g.gatherElements(block, column, 1), [rows]), LOWEST);
  });
  const largest = (values: readonly Value[]) => values.reduce((a, b) => g.max(a, b));
  const best = largest(logits.map((block) => g.reduceMax(block, [1])));
  return g.reduceSum(g.where(g.less(largest(own), best), 0, weights), [0]);
}

/** No logit is below it. */
const LOWEST = -3e38;

/**
 * Loss and gradients. The weight's gradient is written (`first`), added to what is there (`more`), or not wanted
 * (`frozen`). The share of the target tokens in it comes as rows: see {@link loss}.
 */
export function buildHeadTraining(g: Builder, shape: HeadShape, mode: 'first' | 'more' | 'frozen'): void {
  const { value, hidden, weight, blocks } = loss(g, shape);
  if (mode === 'frozen') {
    const [dHidden] = grad(g, value, [hidden]).gradients;
    if (!dHidden) throw new GraphError('the loss does not depend on the head');
    g.output(HEAD.loss, value);
    g.output(HEAD.dHidden, dHidden);
    return;
  }
  const { gradients, sparse } = grad(g, value, [hidden, ...blocks, weight], { rowSparse: new Set([weight]) });
  const [dHidden, ...dBlocks] = gradients;
  const target = sparse.get(weight)?.[0];
  if (!dHidden || !target) throw new GraphError('the loss does not depend on the head');
  g.output(HEAD.loss, value);
  g.output(HEAD.dHidden, dHidden);
  for (const [i, block] of blocks.entries()) {
    const soFar = mode === 'more' ? g.input(HEAD.dWeightSoFar(i), 'float32', block.shape) : null;
    g.output(HEAD.dWeight(i), soFar ? g.add(dBlocks[i]!, soFar) : dBlocks[i]!);
  }
  g.output(HEAD.dRowIndices, target.indices);
  g.output(HEAD.dRows, target.rows);
}

/** Logits alone [rows, vocab], for generation. */
export function buildLogits(g: Builder, shape: HeadShape): void {
  const hidden = g.input(HEAD.hidden, 'float32', [shape.rows, shape.hidden]);
  const weight = g.input(HEAD.weight, 'float32', [shape.vocab, shape.hidden]);
  g.output('logits', capped(g, g.gemm(hidden, weight, null, { transB: true }), shape.softcap));
}

/**
 * Cross-entropy as log Σ exp(h Wᵀ) − h · W[target]. The target's logit is taken from its row of W, not from the logits:
 * so its gradient is rows of [rows, hidden], and softmax − one-hot, a pass over [rows, vocab], is never formed.
 * The sum is taken over blocks of the vocabulary and then over the blocks' sums.
 */
function loss(g: Builder, { rows, hidden: width, vocab, softcap }: HeadShape) {
  const hidden = g.input(HEAD.hidden, 'float32', [rows, width]);
  const weight = g.input(HEAD.weight, 'float32', [vocab, width]);
  const targets = g.input(HEAD.targets, 'int64', [rows]);
  const weights = g.input(HEAD.weights, 'float32', [rows]);
  const blocks = vocabularyBlocks(vocab).map(({ size }, i) => g.input(HEAD.weightBlock(i), 'float32', [size, width]));
  const logits = g.scope('logits', () =>
    blocks.map((block) => capped(g, g.gemm(hidden, block, null, { transB: true }), softcap)),
  );
  const value = g.scope('loss', () => {
    const logSumExp = (values: Value) => g.apply('LogSumExp', [values]);
    const sums = logits.map(logSumExp);
    const column = (sum: Value) => g.reshape(sum, [rows, 1]);
    const sum = sums.length === 1 ? sums[0]! : logSumExp(g.concat(sums.map(column), 1));
    const own = capped(g, targetLogits(g, hidden, g.gather(weight, targets)), softcap);
    return g.reduceSum(g.mul(g.sub(sum, own), weights), [0]);
  });
  return { value, logits, hidden, weight, targets, weights, blocks };
}

/**
 * [rows]: each row's product with its target's weights. Its gradient is exact; its value is rounded as the logits are that
 * it is compared with, or a loss near zero would be the noise of that rounding.
 */
function targetLogits(g: Builder, hidden: Value, rows: Value): Value {
  const product = (h: Value, w: Value) => g.reduceSum(g.mul(h, w), [1]);
  const exact = product(hidden, rows);
  if (g.precision === 'float32') return exact;
  const shown = g.rounded(product(g.rounded(hidden), g.rounded(rows)));
  return g.add(exact, g.apply('StopGradient', [g.sub(shown, exact)]));
}

/** Most rows of the head's weight in one product: logits and gradients of a block pass through the caches. */
const MAX_BLOCK = 8192;

/** Rows `[from, from + size)` of the head's weight, near enough the same number in each block. */
export function vocabularyBlocks(vocab: number): { from: number; size: number }[] {
  const count = Math.ceil(vocab / MAX_BLOCK);
  const start = (block: number) => Math.floor((vocab * block) / count);
  return Array.from({ length: count }, (_, i) => ({ from: start(i), size: start(i + 1) - start(i) }));
}

/** Upper bound on the logits of one chunk, bytes. */
const MAX_LOGITS_BYTES = 256 * 2 ** 20;

/**
 * Into what chunks `positions` are cut: as many of the largest size as fit, then one that holds the rest. Its size is
 * rounded up to a sixteenth of the next power of two, so that not every batch needs a graph of its own.
 */
export function chunkSizes(positions: number, vocab: number): number[] {
  const largest = 2 ** Math.floor(Math.log2(Math.max(16, Math.min(2048, MAX_LOGITS_BYTES / (4 * vocab)))));
  const chunks = new Array<number>(Math.floor(positions / largest)).fill(largest);
  const rest = positions % largest;
  if (rest > 0) {
    const granule = Math.max(16, 2 ** Math.ceil(Math.log2(rest)) / 16);
    chunks.push(Math.ceil(rest / granule) * granule);
  }
  return chunks;
}
