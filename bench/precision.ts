/**
 * What 16 bits change: the example run (`examples/default`) for 200 steps in float32, bf16 and fp16, by the program as it
 * is shipped. A curve's distance is the largest difference of the mean loss over 20 steps, relative to float32's. The run
 * is chaotic at its rate, so it is done in float32 once more, with a rate that is larger by a millionth.
 *
 * usage: npm run bench -- precision [--steps 200]
 * Last line: `{bench, worst_loss_deviation, nudged, bf16, fp16}`.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { RunEvent } from '@protocol/events';

const { values } = parseArgs({ options: { steps: { type: 'string', default: '200' } } });
const PROGRAM = 'remote-runner/bin/tuneyard.mjs';
const WINDOW = 20;

const folder = await mkdtemp(join(tmpdir(), 'tuneyard-bench-precision-'));

async function train(name: string, settings: readonly string[]) {
  const run = join(folder, name);
  const all = [
    ...[`max_steps=${values.steps}`, `logging_steps=${WINDOW}`, 'eval_strategy=no', 'save_strategy=no', 'device=cpu'],
    ...['load_best_model_at_end=false', 'generation.prompts=[]', ...settings],
  ];
  const argv = [PROGRAM, 'train', 'examples/default/default.tune.json', '--run-dir', run, '--json'];
  await promisify(execFile)(process.execPath, [...argv, ...all.flatMap((setting) => ['--set', setting])], {
    maxBuffer: 2 ** 26,
  });
  const lines = (await readFile(join(run, 'events.jsonl'), 'utf8')).trim().split('\n');
  const logs = lines.map((line) => JSON.parse(line) as RunEvent).filter((event) => event.type === 'log');
  const seconds = logs.reduce((sum, { step_seconds }) => sum + step_seconds, 0) / logs.length;
  const losses = logs.map(({ loss }) => loss);
  console.log(
    `${name}: ${losses.map((loss) => loss.toFixed(4)).join(' ')}; ${seconds.toFixed(3)} s a step, ${logs.at(-1)?.skipped_steps ?? 0} skipped`,
  );
  return { losses, seconds };
}

try {
  const float32 = await train('float32', []);
  const figures: Record<string, { worst: number; last: number; time_ratio: number }> = {};
  for (const [name, setting] of [
    ['nudged', 'learning_rate=3.000003e-3'],
    ['bf16', 'bf16=true'],
    ['fp16', 'fp16=true'],
  ] as const) {
    const { losses, seconds } = await train(name, [setting]);
    const deviations = losses.map((loss, i) => Math.abs(loss / float32.losses[i]! - 1));
    figures[name] = {
      worst: Number(Math.max(...deviations).toFixed(4)),
      last: Number(deviations.at(-1)!.toFixed(4)),
      time_ratio: Number((seconds / float32.seconds).toFixed(2)),
    };
  }
  const worst_loss_deviation = Math.max(figures.bf16!.worst, figures.fp16!.worst);
  console.log(JSON.stringify({ bench: 'precision', worst_loss_deviation, ...figures }));
} finally {
  await rm(folder, { recursive: true });
}
