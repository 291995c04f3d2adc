/**
 * What each fusion brings: a training step at TinyStories-33M's shape with the pass and without it, in turns; and fusions
 * that the compiler does not do, as the ops alone, fused and not. Ratios are of medians: above 1, the fusion is faster.
 *
 * usage: npm run bench -- fusions [--rounds 7]
 * Last line: `{bench, passes: {NAME: ratio}, not_done: {NAME: ratio}}`.
 */
import { parseArgs } from 'node:util';
import { createEngine } from '@runner/engine/createEngine';
import { type Executable, type TensorViews, view } from '@runner/engine/engine';
import { Builder } from '@runner/graph/builder';
import type { TensorType, Value } from '@runner/graph/ir';
import { FUSIONS } from '@runner/graph/passes/index';
import { causalAttention } from '@runner/models/attention';
import { rotate } from '@runner/models/rotary';
import { ops } from '@runner/ops/index';
import { type OpDef, type OpRegistry, unsupportedGradient } from '@runner/ops/op';
import { likeFirstFloat } from '@runner/ops/typeRules';
import { median } from './lib/statistics';
import { openTraining } from './lib/trainingSetup';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
const rounds = Number(values.rounds);

/** Median seconds of each of two, done in turns. */
async function inTurns(first: () => Promise<unknown>, second: () => Promise<unknown>, count: number) {
  const seconds: [number[], number[]] = [[], []];
  for (let i = 0; i <= count; i++) {
    for (const [at, run] of [first, second].entries()) {
      const started = performance.now();
      await run();
      if (i > 0) seconds[at]!.push((performance.now() - started) / 1000);
    }
  }
  return seconds.map(median) as [number, number];
}

const rounded = (x: number) => Number(x.toFixed(3));
const report = (name: string, fused: number, plain: number) =>
  console.log(`${name}: ${(1000 * fused).toFixed(1)} ms with, ${(1000 * plain).toFixed(1)} ms without`);

const passes: Record<string, number> = {};
const whole = await openTraining(await createEngine(ops));
for (const without of FUSIONS) {
  const training = await openTraining(await createEngine(ops, { without }));
  let at = 0;
  const [fused, plain] = await inTurns(
    () => whole.step(at++),
    () => training.step(at),
    rounds,
  );
  report(without, fused, plain);
  passes[without] = rounded(plain / fused);
}

const TOKENS = 1024;
const WIDTH = 768;

/** A kernel of ONNX Runtime's that the compiler does not write. */
const contributed = (name: string, infer: OpDef['infer'] = likeFirstFloat): OpDef => ({
  name,
  domain: 'com.microsoft',
  infer,
  gradient: unsupportedGradient('it is measured only'),
  examples: [],
});
const known: OpRegistry = new Map(
  [
    ...ops.values(),
    contributed('BiasGelu'),
    // Normed, mean, deviation, sum.
    contributed('SkipLayerNormalization', (inputs) => {
      const [x] = inputs as [TensorType];
      const statistic = { ...x, shape: [...x.shape.slice(0, -1), 1] };
      return [x, statistic, statistic, x];
    }),
  ].map((op) => [op.name, op]),
);
const engine = await createEngine(known);

async function compiled(
  name: string,
  shapes: Readonly<Record<string, readonly number[]>>,
  write: (g: Builder, inputs: Record<string, ReturnType<Builder['input']>>) => void,
): Promise<() => Promise<void>> {
  const g = new Builder(known, name);
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => [key, g.input(key, 'float32', shape)]),
  );
  write(g, inputs);
  const executable: Executable = await engine.compile(g.graph);
  const filled = (shape: readonly number[]) =>
    view(
      new Float32Array(shape.reduce((a, b) => a * b, 1)).map((_, i) => Math.sin(i)),
      shape,
    );
  const feeds: TensorViews = Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, filled(shape)]));
  const outputs: TensorViews = Object.fromEntries(
    [...g.graph.outputs].map(([key, { shape }]) => [key, filled(shape)] as const),
  );
  return () => executable.run(feeds, outputs);
}

const not_done: Record<string, number> = {};
const x = [TOKENS, WIDTH];
const square = [WIDTH, WIDTH];
const qkv = await compiled('qkv', { x, w: [3 * WIDTH, WIDTH] }, (g, { x, w }) => {
  for (const [i, part] of g.split(g.gemm(x!, w!, null, { transB: true }), [WIDTH, WIDTH, WIDTH], 1).entries())
    g.output(`y${i}`, part);
});
const apart = await compiled('q-k-v', { x, q: square, k: square, v: square }, (g, { x, q, k, v }) => {
  for (const [i, w] of [q, k, v].entries()) g.output(`y${i}`, g.gemm(x!, w!, null, { transB: true }));
});
const [one, three] = await inTurns(qkv, apart, 10 * rounds);
report('query, key and value as one product', one, three);
not_done.qkv = rounded(three / one);

const HEADS = 12;
for (const [batch, length] of [
  [8, 128],
  [1, 1024],
] as const) {
  const qkvShapes = { q: [TOKENS, WIDTH], k: [TOKENS, WIDTH], v: [TOKENS, WIDTH] };
  const theirs = await compiled('fused-attention', qkvShapes, (g, inputs) => {
    const parts = Object.values(inputs).map((part) => g.reshape(part, [batch, length, WIDTH]));
    g.output('y', g.apply('MultiHeadAttention', parts, { num_heads: HEADS, unidirectional: 1 }));
  });
  const ours = await compiled('attention', qkvShapes, (g, inputs) => {
    const heads = Object.values(inputs).map((part) => g.reshape(part, [TOKENS, HEADS, WIDTH / HEADS]));
    const [q, k, v] = heads as [Value, Value, Value];
    const attend = causalAttention(g, { batch, length });
    g.output('y', attend(q, k, v, { layer: 0, scale: 1 / Math.sqrt(WIDTH / HEADS) }));
  });
  const [fused, plain] = await inTurns(theirs, ours, 10 * rounds);
  report(`attention of ${batch} × ${length} as one op, forward`, fused, plain);
  not_done[`attention_${batch}x${length}`] = rounded(plain / fused);
}

const wide = { x, w: [4 * WIDTH, WIDTH], b: [4 * WIDTH] };
const biasInActivation = await compiled('bias-gelu', wide, (g, { x, w, b }) =>
  g.output('y', g.apply('BiasGelu', [g.gemm(x!, w!, null, { transB: true }), b!])),
);
const biasInProduct = await compiled('gelu', wide, (g, { x, w, b }) =>
  g.output('y', g.gelu(g.gemm(x!, w!, b!, { transB: true }))),
);
const [inActivation, inProduct] = await inTurns(biasInActivation, biasInProduct, 10 * rounds);
report('bias and activation as one op, forward', inActivation, inProduct);
not_done.bias_gelu = rounded(inProduct / inActivation);

const normed = { x, skip: x, scale: [WIDTH], bias: [WIDTH] };
const skipNorm = await compiled('skip-norm', normed, (g, inputs) => {
  const node = g.node('SkipLayerNormalization', Object.values(inputs), { epsilon: 1e-5 });
  g.output('y', node.outputs[0]!);
  g.output('sum', node.outputs[3]!);
});
const addThenNorm = await compiled('add-norm', normed, (g, { x, skip, scale, bias }) => {
  const sum = g.add(x!, skip!);
  g.output('y', g.layerNorm(sum, scale!, bias!, 1e-5));
  g.output('sum', sum);
});
const [oneNorm, twoNorm] = await inTurns(skipNorm, addThenNorm, 100 * rounds);
report('residual and norm as one op, forward', oneNorm, twoNorm);
not_done.skip_norm = rounded(twoNorm / oneNorm);

const HEAD_DIM = WIDTH / HEADS;
const positions = (g: Builder) =>
  g.constant(
    BigInt64Array.from({ length: TOKENS }, (_, i) => BigInt(i)),
    'int64',
    [TOKENS],
  );
const tables = { x, cos: [TOKENS, HEAD_DIM / 2], sin: [TOKENS, HEAD_DIM / 2] };
const rotaryOp = await compiled('rotary-op', tables, (g, { x, cos, sin }) => {
  const heads = g.reshape(x!, [TOKENS, HEADS, HEAD_DIM]);
  g.output('y', rotate(g, heads, { cos: cos!, sin: sin!, rows: g.reshape(positions(g), [1, TOKENS]) }));
});
const rotaryWritten = await compiled('rotary', tables, (g, { x, cos, sin }) => {
  const [c, s] = [cos!, sin!].map((table) => g.reshape(g.gather(table, positions(g)), [TOKENS, 1, HEAD_DIM / 2])) as [
    Value,
    Value,
  ];
  const parts = g.split(g.reshape(x!, [TOKENS, HEADS, HEAD_DIM]), [HEAD_DIM / 2, HEAD_DIM / 2], 2);
  const [first, second] = parts as [Value, Value];
  const turned = [g.sub(g.mul(first, c), g.mul(second, s)), g.add(g.mul(second, c), g.mul(first, s))];
  g.output('y', g.concat(turned, 2));
});
const [oneRotary, written] = await inTurns(rotaryOp, rotaryWritten, 50 * rounds);
report('rotary as one op, forward', oneRotary, written);
passes.rotary = rounded(written / oneRotary);

console.log(JSON.stringify({ bench: 'fusions', passes, not_done }));
