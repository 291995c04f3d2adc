/**
 * Trainings on several ranks against the same one on one rank: the example's recipe, steps of four micro-batches, by the
 * program as it is shipped and the machine's mpirun. Few steps, at a tenth of the example's learning rate: whatever
 * rounds differently is amplified by each step (a weight decay changed in its fourth digit moves the gradient's norm of
 * step 12 by 1e-3 at the example's rate).
 *
 * usage: npm run bench -- ranks [--steps N] [--ranks 2,4] [--large]     --large: random weights of GPT-2 124M's shape
 * Last line: `{bench, worst_rel, step_s, gigabytes}`: the largest relative difference in any step's loss or gradient norm,
 * and of the weights (as vectors); seconds a step by ranks; what rank 0 holds behind a step, by zero_stage.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { LogEvent, RunEvent } from '@protocol/events';
import { openSafetensors } from '@runner/hub/safetensors';
import { gpt, writeRandomModel } from '../test/support/randomModel';
import { median } from './lib/statistics';

const ACCUMULATION = 4;

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '6' },
    ranks: { type: 'string', default: '2,4' },
    large: { type: 'boolean', default: false },
  },
});
const counts = values.ranks.split(',').map(Number);
const folder = await mkdtemp(join(tmpdir(), 'tuneyard-bench-ranks-'));

let recipe = 'examples/default/default.tune.json';
if (values.large) {
  const model = await writeRandomModel(join(folder, 'model'), gpt(12, 768));
  await writeFile(
    join(folder, 'data.jsonl'),
    `${JSON.stringify({ text: 'the old mage of the north '.repeat(9) })}\n`.repeat(64),
  );
  recipe = join(folder, 'r.tune.json');
  const content = {
    model,
    dataset: './data.jsonl',
    max_length: 64,
    per_device_train_batch_size: 2,
    save_strategy: 'no',
  };
  await writeFile(recipe, JSON.stringify(content));
}

interface Result {
  logs: LogEvent[];
  weights: Float32Array;
}

async function train(ranks: number, zeroStage: number): Promise<Result> {
  const run = join(folder, `${ranks}-${zeroStage}`);
  const settings = {
    world_size: ranks,
    zero_stage: zeroStage,
    gradient_accumulation_steps: ACCUMULATION / ranks,
    max_steps: values.steps,
    logging_steps: 1,
    learning_rate: 3e-4,
    eval_strategy: 'no',
    load_best_model_at_end: false,
    device: 'cpu',
    'generation.prompts': '[]',
  };
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const argv = ['remote-runner/bin/tuneyard.mjs', 'train', recipe, '--run-dir', run, ...set];
  await promisify(execFile)(process.execPath, argv, { env: { ...process.env, TUNEYARD_HOME: folder } });
  const events = (await readFile(join(run, 'events.jsonl'), 'utf8')).trim().split('\n');
  const logs = events.map((line) => JSON.parse(line) as RunEvent).filter((event) => event.type === 'log');
  const file = await openSafetensors(join(run, 'model/model.safetensors'));
  const tensors = await Promise.all(file.names().map((name) => file.readFloat32(name)));
  const weights = new Float32Array(tensors.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const tensor of tensors) {
    weights.set(tensor, at);
    at += tensor.length;
  }
  return { logs, weights };
}

const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);

/** |a − b| / |b| */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

const gigabytesOf = ({ logs }: Result) =>
  Number((Math.max(...logs.map(({ memory_bytes }) => memory_bytes)) / 1e9).toFixed(2));
const secondsOf = ({ logs }: Result) =>
  Number(median(logs.slice(1).map(({ step_seconds }) => step_seconds)).toFixed(3));

try {
  const one = await train(1, 0);
  const stepSeconds: Record<string, number> = { 1: secondsOf(one) };
  const gigabytes: Record<string, number> = { 1: gigabytesOf(one) };
  let worst = 0;
  for (const ranks of counts) {
    for (const zeroStage of [0, 1, 2]) {
      const result = await train(ranks, zeroStage);
      if (result.logs.length !== one.logs.length) throw new Error(`${ranks} ranks made ${result.logs.length} steps`);
      const loss = Math.max(...result.logs.map((log, i) => relative(log.loss, one.logs[i]!.loss)));
      const norm = Math.max(...result.logs.map((log, i) => relative(log.grad_norm, one.logs[i]!.grad_norm)));
      const weights = distance(result.weights, one.weights);
      worst = Math.max(worst, loss, norm, weights);
      stepSeconds[ranks] = secondsOf(result);
      gigabytes[`${ranks}, zero_stage ${zeroStage}`] = gigabytesOf(result);
      console.log(
        `${ranks} ranks, zero_stage ${zeroStage}: loss ${loss.toExponential(1)}, gradient norm ${norm.toExponential(1)}, weights ${weights.toExponential(1)}, ${secondsOf(result)} s a step, ${gigabytesOf(result)} GB`,
      );
    }
  }
  console.log(
    JSON.stringify({ bench: 'ranks', worst_rel: Number(worst.toPrecision(2)), step_s: stepSeconds, gigabytes }),
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
