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
import type { Value } from '@runner/graph/ir';
import { FUSIONS } from '@runner/graph/passes/index';
import { causalAttention } from '@runner/models/attention';
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

/** ONNX Runtime's own attention: [B, T, heads · d] each; nothing of it is kept for a backward half. */
const fusedAttention: OpDef = {
  name: 'MultiHeadAttention',
  domain: 'com.microsoft',
  infer: likeFirstFloat,
  gradient: unsupportedGradient('it is measured only'),
  examples: [],
};
const known: OpRegistry = new Map([...ops, [fusedAttention.name, fusedAttention]]);
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
    g.output('y', g.apply(fusedAttention.name, parts, { num_heads: HEADS, unidirectional: 1 }));
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

console.log(JSON.stringify({ bench: 'fusions', passes, not_done }));
