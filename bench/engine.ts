/**
 * The native engine against the portable one: the same training step in turn, in one process; then many runs of a small
 * graph, and what memory they leave behind.
 *
 * usage: npm run bench -- engine [--steps N] [--runs N]
 * Last line: `{bench, native_step_s, portable_step_s, ratio, native_run_us, portable_run_us, leaked_mb}`.
 */
import { parseArgs } from 'node:util';
import { type Executable, view } from '@runner/engine/engine';
import { NativeEngine } from '@runner/engine/native';
import { NodeEngine } from '@runner/engine/node';
import { newBuilder, ops } from '@runner/ops/index';
import { median } from './lib/statistics';
import { openTraining } from './lib/trainingSetup';

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '7' }, runs: { type: 'string', default: '10000' } },
});
const [steps, runs] = [Number(values.steps), Number(values.runs)];

// This one first: threads for all sessions are only to be had by who opens ONNX Runtime.
const native = new NativeEngine(ops);
const ways = [];
for (const engine of [native, new NodeEngine(ops)]) {
  ways.push({ engine, training: await openTraining(engine), seconds: [] as number[], loss: 0 });
}
for (let at = 0; at <= steps; at++) {
  for (const way of at % 2 === 0 ? ways : ways.toReversed()) {
    const started = performance.now();
    way.loss = await way.training.step(at);
    if (at > 0) way.seconds.push((performance.now() - started) / 1000);
  }
  if (ways[0]!.loss !== ways[1]!.loss) throw new Error(`the losses differ: ${ways.map(({ loss }) => loss).join(', ')}`);
}
const isEqual = Buffer.from(ways[0]!.training.parameters.buffer).equals(
  Buffer.from(ways[1]!.training.parameters.buffer),
);
if (!isEqual) throw new Error('the weights differ');

const g = newBuilder('small');
const x = g.input('x', 'float32', [64, 64]);
g.output('y', g.add(g.matMul(x, x), 1));

/** Each with new views, as batches are. @returns microseconds a run */
async function runMany(executable: Executable, count: number): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    const y = view(new Float32Array(64 * 64), [64, 64]);
    await executable.run({ x: view(new Float32Array(64 * 64).fill(i), [64, 64]) }, { y });
  }
  return ((performance.now() - started) * 1000) / count;
}

const [nativeGraph, nodeGraph] = [await ways[0]!.engine.compile(g.graph), await ways[1]!.engine.compile(g.graph)];
const nodeMicroseconds = await runMany(nodeGraph, runs / 10);
await runMany(nativeGraph, runs / 10);
const before = process.memoryUsage.rss();
const nativeMicroseconds = await runMany(nativeGraph, runs);
for (let i = 0; i < runs / 100; i++) await (await native.compile(g.graph)).release();
const leaked = (process.memoryUsage.rss() - before) / 1e6;

const [nativeStep, nodeStep] = ways.map(({ seconds }) => median(seconds)) as [number, number];
const round = (value: number, digits: number) => Number(value.toFixed(digits));
console.log(`TinyStories-33M, batch 8 × 128, ${steps} steps in turn: losses and weights equal to the bit`);
console.log(`native   ${nativeStep.toFixed(3)} s a step, ${nativeMicroseconds.toFixed(0)} µs a small run`);
console.log(`portable ${nodeStep.toFixed(3)} s a step, ${nodeMicroseconds.toFixed(0)} µs a small run`);
console.log(`${runs} runs and ${runs / 100} sessions later: ${leaked.toFixed(1)} MB more`);
console.log(
  JSON.stringify({
    bench: 'engine',
    native_step_s: round(nativeStep, 3),
    portable_step_s: round(nodeStep, 3),
    ratio: round(nativeStep / nodeStep, 3),
    native_run_us: Math.round(nativeMicroseconds),
    portable_run_us: Math.round(nodeMicroseconds),
    leaked_mb: round(leaked, 1),
  }),
);
