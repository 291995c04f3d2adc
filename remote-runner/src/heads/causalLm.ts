/**
 * The causal language-model head and its loss, over a chunk of token positions at a time: logits of all tokens are
 * never in memory at once, and only positions that carry a label are computed at all.
 */

import { grad } from '../autodiff/grad';
import type { Builder } from '../graph/builder';
import { GraphError } from '../graph/ir';

export interface HeadShape {
  /** Positions in the chunk. */
  readonly rows: number;
  readonly hidden: number;
  readonly vocab: number;
}

/** Names of the head graph's inputs and outputs. */
export const HEAD = {
  /** float32 [rows, hidden] */
  hidden: 'hidden',
  /** float32 [vocab, hidden] */
  weight: 'weight',
  /** int64 [rows] */
  targets: 'targets',
  /** float32 [rows]: what each position's loss is multiplied by; 0 for rows that only fill the chunk. */
  weights: 'weights',
  /** float32 []: Σ weights · losses */
  loss: 'loss',
  /** float32 [rows, hidden] */
  dHidden: 'd_hidden',
  /** float32 [vocab, hidden] */
  dWeight: 'd_weight',
  /** int64 [rows] and float32 [rows, hidden]: rows that must still be added to the weight's gradient. */
  dRowIndices: 'd_row_indices',
  dRows: 'd_rows',
  /** float32 [vocab, hidden]: what is in `d_weight` so far, where gradients add up. */
  dWeightSoFar: 'd_weight_so_far',
} as const;

/** Loss only, for evaluation. */
export function buildHeadLoss(g: Builder, shape: HeadShape): void {
  g.output(HEAD.loss, loss(g, shape).value);
}

/**
 * Loss and gradients. With `accumulate`, the weight's gradient is added to what is there. The share of the target
 * tokens in it comes as rows: see {@link loss}.
 */
export function buildHeadTraining(g: Builder, shape: HeadShape, accumulate: boolean): void {
  const { value, hidden, weight } = loss(g, shape);
  const { gradients, sparse } = grad(g, value, [hidden, weight], { rowSparse: new Set([weight]) });
  const [dHidden, dWeight] = gradients;
  const target = sparse.get(weight)?.[0];
  if (!dHidden || !dWeight || !target) throw new GraphError('the loss does not depend on the head');
  g.output(HEAD.loss, value);
  g.output(HEAD.dHidden, dHidden);
  const soFar = accumulate ? g.input(HEAD.dWeightSoFar, 'float32', [shape.vocab, shape.hidden]) : null;
  g.output(HEAD.dWeight, soFar ? g.add(dWeight, soFar) : dWeight);
  g.output(HEAD.dRowIndices, target.indices);
  g.output(HEAD.dRows, target.rows);
}

/** Logits alone [rows, vocab], for generation. */
export function buildLogits(g: Builder, shape: HeadShape): void {
  const hidden = g.input(HEAD.hidden, 'float32', [shape.rows, shape.hidden]);
  const weight = g.input(HEAD.weight, 'float32', [shape.vocab, shape.hidden]);
  g.output('logits', g.gemm(hidden, weight, null, { transB: true }));
}

/**
 * Cross-entropy as log Σ exp(h Wᵀ) − h · W[target]. The target's logit is taken from its row of W, not from the logits:
 * so its gradient is rows of [rows, hidden], and softmax − one-hot, a pass over [rows, vocab], is never formed.
 */
function loss(g: Builder, { rows, hidden: width, vocab }: HeadShape) {
  const hidden = g.input(HEAD.hidden, 'float32', [rows, width]);
  const weight = g.input(HEAD.weight, 'float32', [vocab, width]);
  const targets = g.input(HEAD.targets, 'int64', [rows]);
  const weights = g.input(HEAD.weights, 'float32', [rows]);
  const value = g.scope('loss', () => {
    const sums = g.apply('LogSumExp', [g.gemm(hidden, weight, null, { transB: true })]);
    const own = g.reduceSum(g.mul(hidden, g.gather(weight, targets)), [1]);
    return g.reduceSum(g.mul(g.sub(sums, own), weights), [0]);
  });
  return { value, hidden, weight };
}

/** Upper bound on the logits of one chunk, bytes. */
const MAX_LOGITS_BYTES = 128 * 2 ** 20;

/**
 * Into what chunks `positions` are cut: as many of the largest size as fit, then one of the next size that holds the
 * rest. A few sizes serve every batch, so that few graphs are compiled; at most a third of the last chunk is idle.
 */
export function chunkSizes(positions: number, vocab: number): number[] {
  const sizes = sizeLadder(vocab);
  const largest = sizes[sizes.length - 1]!;
  const chunks = new Array<number>(Math.floor(positions / largest)).fill(largest);
  const rest = positions % largest;
  if (rest > 0) chunks.push(sizes.find((size) => size >= rest)!);
  return chunks;
}

/** Positions in the largest chunk. */
export function largestChunk(vocab: number): number {
  return sizeLadder(vocab).at(-1)!;
}

function sizeLadder(vocab: number): number[] {
  const most = Math.max(16, Math.min(2048, Math.floor(MAX_LOGITS_BYTES / (4 * vocab))));
  const sizes: number[] = [];
  for (let size = 16; size <= most; size *= 2) {
    sizes.push(size);
    if (size * 1.5 <= most && size > 16) sizes.push(size * 1.5);
  }
  return sizes;
}
