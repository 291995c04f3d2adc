/**
 * The same job here and under transformers' Trainer, random weights, AdamW, the same samples in the same order:
 *
 *   padded       TinyStories-33M's shape, batches of 8 samples of 128 tokens
 *   backstories  the same shape, 8 of the example's samples as they are: Trainer pads to the longest of a batch; we compute
 *                real tokens and supervised positions only
 *   gpt2         GPT-2 124M, 16 samples of 1,024 tokens; only where it is asked for, or on a GPU
 *
 * The two take turns, each in a process of its own; Trainer also with torch.compile where that is asked for.
 *
 * usage: npm run bench -- peer [--peer PYTHON] [--compile] [--cuda] [--bf16] [--only NAME] [--steps N] [--rounds N]
 * PYTHON has torch and transformers.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { loadDataset } from '@runner/data/dataset';
import { loadTokenizer } from '@runner/data/tokenizer';
import { gpt, writeRandomModel } from './lib/randomModel';
import { median } from './lib/statistics';
import { TINY_STORIES_33M } from './lib/tinyStories33M';
import type { Job } from './peer/run';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    compile: { type: 'boolean', default: false },
    cuda: { type: 'boolean', default: false },
    bf16: { type: 'boolean', default: false },
    only: { type: 'string' },
    steps: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '2' },
  },
});
const WARMUP = 2;
/** Without dropout, which each side would draw for itself. */
const GPT2_124M = { ...gpt(12, 768), resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 };
const steps = Number(values.steps) + WARMUP;
const rounds = Number(values.rounds);
const here = import.meta.dirname;
const example = resolve(here, '../examples/default');
const run = promisify(execFile);

interface Side {
  tokens_per_second: number;
  step_seconds: number;
  losses: number[];
  peak_rss_gb: number;
  /** Most that the first GPU held, less what it held before. */
  peak_gpu_gb?: number;
}

interface Sample {
  input_ids: number[];
  labels: number[];
}

const work = await mkdtemp(join(tmpdir(), 'tuneyard-peer-'));
try {
  const tokenizer = await loadTokenizer(join(example, 'model'));
  const data = await loadDataset(join(example, 'backstories.jsonl'), {
    tokenizer,
    maxLength: 512,
    seed: 42,
    baseDir: example,
  });
  const stories = data.train
    .slice(0, 8 * steps)
    .map(({ inputIds, labels }) => ({ input_ids: [...inputIds], labels: [...labels] }));
  const full = (batch: number, length: number): Sample[] =>
    Array.from({ length: batch * steps }, (_, row) => {
      const ids = Array.from({ length }, (_token, i) => (i * 7919 + row * 31) % 50257);
      return { input_ids: ids, labels: ids };
    });
  const jobs = {
    padded: { config: TINY_STORIES_33M, batch: 8, samples: () => full(8, 128), pad: 'max' },
    backstories: { config: TINY_STORIES_33M, batch: 8, samples: () => stories, pad: 'longest' },
    gpt2: { config: GPT2_124M, batch: 16, samples: () => full(16, 1024), pad: 'max' },
  } as const;
  const usual = values.cuda ? Object.keys(jobs) : ['padded', 'backstories'];

  const figures: Record<string, number | string> = { bench: 'peer' };
  for (const [name, { config, batch, samples: make, pad }] of Object.entries(jobs)) {
    if (values.only === undefined ? !usual.includes(name) : name !== values.only) continue;
    const dir = join(work, String(config.model_type));
    const model = existsSync(dir) ? dir : await writeRandomModel(dir, config);
    const samples = make();
    const file = join(work, `${name}.json`);
    const batches = Array.from({ length: steps }, (_, i) => samples.slice(i * batch, (i + 1) * batch));
    await writeFile(file, JSON.stringify({ batches }));
    const longest = Math.max(...samples.map(({ input_ids }) => input_ids.length));
    const { cuda, bf16 } = values;
    const job: Job = { model, batches: file, pad, steps, warmup: WARMUP, cuda, bf16 };
    const trainer = [join(here, 'peer/trainer.py'), model, file, '--pad', pad, '--steps', String(steps)];
    trainer.push('--max-length', String(longest), '--warmup', String(WARMUP), '--threads', String(cpus().length));
    if (cuda) trainer.push('--cuda');
    if (bf16) trainer.push('--bf16');
    const sides: Record<string, Side[]> = { ours: [], ...(values.peer && { Trainer: [] }) };
    if (values.peer && values.compile) sides.compiled = [];
    for (let round = 0; round < rounds; round++) {
      sides.ours!.push(
        await side(process.execPath, ['--import', 'tsx', join(here, 'peer/run.ts'), JSON.stringify(job)]),
      );
      sides.Trainer?.push(await side(values.peer!, trainer));
      sides.compiled?.push(await side(values.peer!, [...trainer, '--compile']));
    }
    report(name, sides, figures);
  }
  if (!values.peer) console.log('No --peer PYTHON was given: only our side was run.');
  console.log(JSON.stringify(figures));
} finally {
  await rm(work, { recursive: true, force: true });
}

/** Bytes of the first GPU that are in use, in GB. */
async function gpuGigabytes(): Promise<number> {
  const query = ['-i', '0', '--query-gpu=memory.used', '--format=csv,noheader,nounits'];
  return (Number((await run('nvidia-smi', query)).stdout) * 2 ** 20) / 1e9;
}

async function side(command: string, args: string[]): Promise<Side> {
  const before = values.cuda ? await gpuGigabytes() : 0;
  let peak = before;
  const watch = values.cuda
    ? setInterval(async () => {
        peak = Math.max(peak, await gpuGigabytes());
      }, 200)
    : undefined;
  try {
    const { stdout } = await run(command, args, { maxBuffer: 1 << 26, cwd: resolve(here, '..') });
    const figures = JSON.parse(stdout.trim().split('\n').at(-1)!) as Side;
    return values.cuda ? { ...figures, peak_gpu_gb: peak - before } : figures;
  } finally {
    clearInterval(watch);
  }
}

function report(name: string, sides: Record<string, Side[]>, figures: Record<string, number | string>): void {
  const memory = (of: Side[]) => median(of.map((side) => side.peak_gpu_gb ?? side.peak_rss_gb));
  const speed = (of: Side[]) => median(of.map((side) => side.tokens_per_second));
  for (const [who, of] of Object.entries(sides)) {
    const step = median(of.map((side) => side.step_seconds));
    console.log(
      `${name.padEnd(12)} ${who.padEnd(8)} ${speed(of).toFixed(0).padStart(6)} tokens/s  ${step.toFixed(3)} s a step  ${memory(of).toFixed(2)} GB  losses ${of[0]!.losses.map((l) => l.toFixed(3)).join(' ')}`,
    );
  }
  const { ours, Trainer: trainer, compiled } = sides as Record<'ours' | 'Trainer' | 'compiled', Side[] | undefined>;
  figures[`${name}_tokens_per_second`] = Math.round(speed(ours!));
  figures[`${name}_peak_gb`] = Number(memory(ours!).toFixed(2));
  if (!trainer) return;
  const worst = Math.max(...ours![0]!.losses.map((loss, i) => Math.abs(loss / trainer[0]!.losses[i]! - 1)));
  console.log(`${''.padEnd(12)} losses differ by ${worst.toExponential(1)} at most`);
  figures[`${name}_ratio`] = Number((speed(ours!) / speed(trainer)).toFixed(2));
  figures[`${name}_memory_ratio`] = Number((memory(ours!) / memory(trainer)).toFixed(2));
  figures[`${name}_worst_loss`] = Number(worst.toExponential(1));
  if (compiled) figures[`${name}_ratio_compiled`] = Number((speed(ours!) / speed(compiled)).toFixed(2));
}
