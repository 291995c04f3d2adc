/** The head's loss and gradients, against plain arithmetic in double precision. */
import { Random } from '@runner/data/random';
import { type TensorView, view } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import { buildHeadEvaluation, buildHeadTraining, chunkSizes, HEAD, vocabularyBlocks } from '@runner/heads/causalLm';
import { newBuilder, ops } from '@runner/ops';
import { describe, expect, it } from 'vitest';

const [ROWS, WIDTH] = [16, 4];

function normals(n: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: n }, () => 4 * (random.nextFloat() - 0.5));
}

describe('the head', () => {
  it.each([
    [50, undefined],
    [8192, undefined],
    [20_001, undefined],
    [20_001, 3],
  ])('counts the targets that are likelier than any other token of %i, softcap %s', async (vocab, softcap) => {
    const blocks = vocabularyBlocks(vocab);
    const [hidden, weight] = [normals(ROWS * WIDTH, 1), normals(vocab * WIDTH, 2)];
    const likeliest = (row: number) => {
      let [best, found] = [Number.NEGATIVE_INFINITY, 0];
      for (let token = 0; token < vocab; token++) {
        let score = 0;
        for (let i = 0; i < WIDTH; i++) score += hidden[row * WIDTH + i]! * weight[token * WIDTH + i]!;
        if (score > best) [best, found] = [score, token];
      }
      return found;
    };
    // Every third is wrong; the last row, which is right, only fills the chunk.
    const targets = Array.from({ length: ROWS }, (_, row) => (likeliest(row) + (row % 3 === 1 ? 1 : 0)) % vocab);
    const weights = Float32Array.from({ length: ROWS }, (_, row) => (row === ROWS - 1 ? 0 : 1));
    const g = newBuilder('head');
    buildHeadEvaluation(g, { rows: ROWS, hidden: WIDTH, vocab, softcap });
    const executable = await new NativeEngine(ops, { threads: 1 }).compile(g.graph);
    const inputs: Record<string, TensorView> = {
      [HEAD.hidden]: view(hidden, [ROWS, WIDTH]),
      [HEAD.weight]: view(weight, [vocab, WIDTH]),
      [HEAD.targets]: view(BigInt64Array.from(targets, BigInt), [ROWS]),
      [HEAD.weights]: view(weights, [ROWS]),
    };
    for (const [i, { from, size }] of blocks.entries())
      inputs[HEAD.weightBlock(i)] = view(weight.subarray(from * WIDTH, (from + size) * WIDTH), [size, WIDTH]);
    const [loss, correct] = [new Float32Array(1), new Float32Array(1)];
    await executable.run(inputs, { [HEAD.loss]: view(loss, []), [HEAD.correct]: view(correct, []) });
    await executable.release();
    expect(correct[0]).toBe(10);
    expect(loss[0]).toBeGreaterThan(0);
  });

  it.each([
    [50, 1],
    [8192, 1],
    [20_001, 3],
  ])('over a vocabulary of %i, in %i blocks', async (vocab, count) => {
    const blocks = vocabularyBlocks(vocab);
    expect(blocks).toHaveLength(count);
    const [hidden, weight, soFar] = [normals(ROWS * WIDTH, 1), normals(vocab * WIDTH, 2), normals(vocab * WIDTH, 3)];
    // The last row only fills the chunk; targets lie at the ends of blocks.
    const ends = blocks.flatMap(({ from, size }) => [from, from + size - 1]);
    const targets = Array.from({ length: ROWS }, (_, row) => ends[row % ends.length]!);
    const weights = Float32Array.from({ length: ROWS }, (_, row) => (row === ROWS - 1 ? 0 : 0.25));

    const expected = reference({ hidden, weight, soFar, targets, weights, vocab });

    const g = newBuilder('head');
    buildHeadTraining(g, { rows: ROWS, hidden: WIDTH, vocab }, 'more');
    const executable = await new NativeEngine(ops, { threads: 1 }).compile(g.graph);
    const loss = new Float32Array(1);
    const dHidden = new Float32Array(ROWS * WIDTH);
    const dWeight = soFar.slice();
    const rowIndices = new BigInt64Array(ROWS);
    const rows = new Float32Array(ROWS * WIDTH);
    const inputs: Record<string, TensorView> = {
      [HEAD.hidden]: view(hidden, [ROWS, WIDTH]),
      [HEAD.weight]: view(weight, [vocab, WIDTH]),
      [HEAD.targets]: view(BigInt64Array.from(targets, BigInt), [ROWS]),
      [HEAD.weights]: view(weights, [ROWS]),
    };
    const outputs: Record<string, TensorView> = {
      [HEAD.loss]: view(loss, []),
      [HEAD.dHidden]: view(dHidden, [ROWS, WIDTH]),
      [HEAD.dRowIndices]: view(rowIndices, [ROWS]),
      [HEAD.dRows]: view(rows, [ROWS, WIDTH]),
    };
    for (const [i, { from, size }] of blocks.entries()) {
      const piece = (data: Float32Array) => view(data.subarray(from * WIDTH, (from + size) * WIDTH), [size, WIDTH]);
      inputs[HEAD.weightBlock(i)] = piece(weight);
      inputs[HEAD.dWeightSoFar(i)] = outputs[HEAD.dWeight(i)] = piece(dWeight);
    }
    await executable.run(inputs, outputs);
    await executable.release();
    rowIndices.forEach((index, row) => {
      for (let i = 0; i < WIDTH; i++) dWeight[Number(index) * WIDTH + i]! += rows[row * WIDTH + i]!;
    });

    expect(loss[0]).toBeCloseTo(expected.loss, 4);
    expectClose(dHidden, expected.dHidden);
    expectClose(dWeight, expected.dWeight);
  });
});

function expectClose(actual: Float32Array, expected: Float64Array): void {
  let worst = 0;
  actual.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(value - expected[i]!));
  });
  expect(worst).toBeLessThan(2e-6);
}

function reference(of: {
  hidden: Float32Array;
  weight: Float32Array;
  soFar: Float32Array;
  targets: number[];
  weights: Float32Array;
  vocab: number;
}) {
  const dHidden = new Float64Array(of.hidden.length);
  const dWeight = Float64Array.from(of.soFar);
  let loss = 0;
  for (let row = 0; row < ROWS; row++) {
    const h = of.hidden.subarray(row * WIDTH, (row + 1) * WIDTH);
    const logits = Float64Array.from({ length: of.vocab }, (_, token) =>
      h.reduce((sum, x, i) => sum + x * of.weight[token * WIDTH + i]!, 0),
    );
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    const scale = of.weights[row]!;
    loss += scale * (Math.log(total) - logits[of.targets[row]!]!);
    logits.forEach((logit, token) => {
      const slope = scale * (Math.exp(logit) / total - (token === of.targets[row] ? 1 : 0));
      for (let i = 0; i < WIDTH; i++) {
        dHidden[row * WIDTH + i]! += slope * of.weight[token * WIDTH + i]!;
        dWeight[token * WIDTH + i]! += slope * h[i]!;
      }
    });
  }
  return { loss, dHidden, dWeight };
}

describe('chunks', () => {
  it.each([1, 16, 17, 100, 500, 777, 1024, 1025, 3000, 5000])(
    'hold %i positions with at most a sixteenth of the last one’s next power of two idle',
    (positions) => {
      const sizes = chunkSizes(positions, 50_257);
      const sum = sizes.reduce((a, b) => a + b, 0);
      const rest = positions % 1024;
      expect(sum).toBeGreaterThanOrEqual(positions);
      expect(sum - positions).toBeLessThan(Math.max(16, 2 ** Math.ceil(Math.log2(Math.max(1, rest))) / 16));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(1024);
    },
  );

  it('are few sizes: batches of like lengths share their graphs', () => {
    const sizes = new Set<number>();
    for (let positions = 1; positions <= 2000; positions++) for (const s of chunkSizes(positions, 50_257)) sizes.add(s);
    expect(sizes.size).toBeLessThanOrEqual(16 + 8 * 3);
  });

  it('are as large as their logits may be', () => {
    expect(chunkSizes(4096, 4096)).toEqual([2048, 2048]);
    expect(chunkSizes(600, 250_000)).toEqual([256, 256, 88 + 8]);
  });
});
