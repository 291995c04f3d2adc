/**
 * What `tuneyard estimate` says a run will need, against the most memory that the run then held: whole trainings of a few
 * steps with evaluation, checkpoints and a text, by the program as it is shipped, over architectures, lengths and switches.
 *
 * usage: npm run bench -- estimate [--only NAME]
 * Last line: `{bench, worst_error}`: the largest |estimate − peak| / peak.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { Estimate } from '@protocol/runner';
import type { ModelConfig } from '@runner/hub/modelDir';
import { gpt, writeRandomModel } from '../test/support/randomModel';
import { TINY_STORIES_33M } from './lib/tinyStories33M';

const { values } = parseArgs({ options: { only: { type: 'string' } } });

const MODELS: Readonly<Record<string, ModelConfig>> = {
  'GPT-2 124M': gpt(12, 768),
  'GPT-2 of 6 layers': gpt(6, 384, 8000),
  'TinyStories-33M': TINY_STORIES_33M,
};

interface Case {
  model: keyof typeof MODELS;
  length: number;
  batch: number;
  settings?: Record<string, unknown>;
}

const CASES: readonly Case[] = [
  { model: 'TinyStories-33M', length: 128, batch: 8 },
  { model: 'TinyStories-33M', length: 512, batch: 4 },
  { model: 'TinyStories-33M', length: 128, batch: 4, settings: { gradient_accumulation_steps: 2 } },
  { model: 'TinyStories-33M', length: 128, batch: 4, settings: { optim: 'adafactor' } },
  { model: 'TinyStories-33M', length: 128, batch: 4, settings: { optim: 'sgd' } },
  { model: 'TinyStories-33M', length: 256, batch: 4, settings: { gradient_checkpointing: true } },
  { model: 'GPT-2 of 6 layers', length: 64, batch: 4 },
  { model: 'GPT-2 of 6 layers', length: 1024, batch: 2 },
  { model: 'GPT-2 of 6 layers', length: 512, batch: 8, settings: { gradient_checkpointing: true } },
  { model: 'TinyStories-33M', length: 256, batch: 4, settings: { bf16: true } },
  { model: 'GPT-2 of 6 layers', length: 512, batch: 8, settings: { fp16: true } },
  { model: 'GPT-2 124M', length: 256, batch: 2, settings: { method: 'lora', lora: { target_modules: 'all-linear' } } },
  { model: 'GPT-2 124M', length: 256, batch: 2, settings: { method: 'qlora', lora: { target_modules: 'all-linear' } } },
  {
    ...{ model: 'GPT-2 124M', length: 256, batch: 2 },
    settings: { method: 'qlora', lora: { target_modules: 'all-linear' }, quantization: { load_in_8bit: true } },
  },
  { model: 'GPT-2 of 6 layers', length: 512, batch: 4, settings: { method: 'ia3' } },
  { model: 'GPT-2 of 6 layers', length: 512, batch: 4, settings: { method: 'prompt_tuning' } },
  { model: 'TinyStories-33M', length: 256, batch: 4, settings: { method: 'prefix_tuning' } },
  { model: 'GPT-2 124M', length: 128, batch: 2 },
  { model: 'GPT-2 124M', length: 512, batch: 2, settings: { gradient_checkpointing: true } },
];

const folder = await mkdtemp(join(tmpdir(), 'tuneyard-bench-estimate-'));
const options = { env: { ...process.env, TUNEYARD_HOME: join(folder, 'home') } };
const PROGRAM = 'remote-runner/bin/tuneyard.mjs';

/** The most that a process held, in bytes. */
async function peakOf(argv: string[]): Promise<number> {
  const child = spawn(process.execPath, argv, { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  let peak = 0;
  const timer = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
  }, 20);
  const [code] = await once(child, 'close');
  clearInterval(timer);
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}`);
  return peak;
}

try {
  const models = new Map<string, string>();
  let worst = 0;
  for (const [at, { model, length, batch, settings }] of CASES.entries()) {
    const title = `${model}, ${batch} × ${length}${settings ? `, ${[settings.method, ...Object.keys(settings).filter((key) => key !== 'method')].filter(Boolean).join(', ')}` : ''}`;
    if (values.only !== undefined && !title.includes(values.only)) continue;
    if (!models.has(model)) models.set(model, await writeRandomModel(join(folder, model), MODELS[model]!));
    const text = 'qzjxkv wpfbyu '.repeat(length);
    await writeFile(join(folder, 'data.jsonl'), `${JSON.stringify({ text })}\n`.repeat(batch * 8));
    const recipe = {
      model: models.get(model),
      dataset: { path: 'data.jsonl', test_size: 0.25 },
      max_length: length,
      pad_to: 'max_length',
      per_device_train_batch_size: batch,
      per_device_eval_batch_size: batch,
      max_steps: 3,
      logging_steps: 1,
      eval_strategy: 'steps',
      eval_steps: 2,
      save_strategy: 'steps',
      save_steps: 2,
      device: 'cpu',
      generation: { prompts: ['the old mage'], max_new_tokens: 8 },
      ...settings,
    };
    const file = join(folder, 'r.tune.json');
    await writeFile(file, JSON.stringify(recipe));
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, 'estimate', file, '--json'], options);
    const estimate = JSON.parse(stdout.trim().split('\n').at(-1)!) as Estimate;
    const run = join(folder, `run-${at}`);
    const peak = await peakOf([PROGRAM, 'train', file, '--run-dir', run, '--quiet']);
    await rm(run, { recursive: true });
    const error = (estimate.peak_bytes - peak) / peak;
    worst = Math.max(worst, Math.abs(error));
    const gb = (bytes: number) => (bytes / 1e9).toFixed(3);
    console.log(
      `${title}: estimate ${gb(estimate.peak_bytes)} GB, peak ${gb(peak)} GB, ${(100 * error).toFixed(1)}%  (weights ${gb(estimate.weights_bytes)}, moments ${gb(estimate.optimizer_bytes)}, activations ${gb(estimate.activations_bytes)}, working ${gb(estimate.working_bytes)}, process ${gb(estimate.process_bytes)})`,
    );
  }
  console.log(JSON.stringify({ bench: 'estimate', worst_error: Number(worst.toFixed(3)) }));
} finally {
  await rm(folder, { recursive: true, force: true });
}
