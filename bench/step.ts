/**
 * Anatomy of one training step at TinyStories-33M's shape (random weights, batch 8 × 128, all tokens supervised): where
 * the time goes, and what share of this machine's matrix rate the whole step reaches. The rate is measured between the
 * steps, in the same process, because a shared machine changes its mind.
 *
 * usage: npm run bench -- step [--steps N]
 */
import { parseArgs } from 'node:util';
import { createEngine } from '@runner/engine/createEngine';
import { view } from '@runner/engine/engine';
import { newBuilder, ops } from '@runner/ops/index';
import { median } from './lib/statistics';
import { TimedEngine } from './lib/timedEngine';
import { openTraining } from './lib/trainingSetup';

const SIZE = 2048;
const PRODUCTS = 8;

const { values } = parseArgs({ options: { steps: { type: 'string', default: '7' } } });
const steps = Number(values.steps);

const engine = new TimedEngine(await createEngine(ops));
const training = await openTraining(engine);

const g = newBuilder('gemm');
g.output('c', g.gemm(g.input('a', 'float32', [SIZE, SIZE]), g.input('b', 'float32', [SIZE, SIZE])));
const gemm = await (await createEngine(ops)).compile(g.graph);
const square = () => view(new Float32Array(SIZE * SIZE).fill(0.5), [SIZE, SIZE]);
const [a, b, c] = [square(), square(), square()];
const rates: number[] = [];
// A sustained rate, as a step's is: one product to wake threads and caches, then as many in a row as take about half a second.
const measureGemm = async () => {
  await gemm.run({ a, b }, { c });
  const started = performance.now();
  for (let i = 0; i < PRODUCTS; i++) await gemm.run({ a, b }, { c });
  rates.push((PRODUCTS * 2 * SIZE ** 3) / 1e6 / (performance.now() - started));
};

const seconds: number[] = [];
const parts: Record<string, number[]> = {};
let flops = 0;
let loss = 0;
for (let at = 0; at < steps + 2; at++) {
  await measureGemm();
  engine.reset();
  const started = performance.now();
  loss = await training.step(at);
  const total = (performance.now() - started) / 1000;
  await measureGemm();
  if (at < 2) continue;
  seconds.push(total);
  let inside = 0;
  flops = 0;
  for (const [name, entry] of engine.times) {
    parts[partOf(name)] ??= [];
    inside += entry.seconds;
    flops += entry.flops;
  }
  const sums: Record<string, number> = {};
  for (const [name, entry] of engine.times) sums[partOf(name)] = (sums[partOf(name)] ?? 0) + entry.seconds;
  for (const [part, sum] of Object.entries(sums)) parts[part]!.push(sum);
  parts['feeding and the rest'] ??= [];
  parts['feeding and the rest'].push(total - inside);
}

function partOf(graph: string): string {
  if (graph === 'body-forward') return 'forward';
  if (graph === 'body-backward') return 'backward';
  if (graph.startsWith('head')) return 'head and loss, both ways';
  return 'clip and optimizer';
}

const stepSeconds = median(seconds);
const rate = median(rates);
const share = flops / 1e9 / stepSeconds / rate;
console.log(
  `Gemm ${SIZE}³: ${rate.toFixed(0)} GFLOP/s (median of ${rates.length}, ${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)})`,
);
console.log(
  `step: ${stepSeconds.toFixed(3)} s (${seconds.map((s) => s.toFixed(2)).join(' ')}), ${(flops / 1e9).toFixed(0)} GFLOP in matrix products, loss ${loss.toFixed(3)}`,
);
for (const [part, times] of Object.entries(parts)) {
  console.log(
    `  ${part.padEnd(26)} ${median(times).toFixed(3)} s  ${((100 * median(times)) / stepSeconds).toFixed(1).padStart(5)}%`,
  );
}
console.log(`share of the Gemm rate: ${share.toFixed(3)}`);
const figures = {
  bench: 'step',
  gemm_gflops: Math.round(rate),
  gemm_share: Number(share.toFixed(3)),
  step_s: Number(stepSeconds.toFixed(3)),
  peak_rss_gb: Number((process.resourceUsage().maxRSS / 1e6).toFixed(2)),
  load_s: Number(training.loadSeconds.toFixed(2)),
};
console.log(JSON.stringify(figures));
