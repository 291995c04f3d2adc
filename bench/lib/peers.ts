/** One job after the other, on our side and under transformers' Trainer, in turns, each in a process of its own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { ModelConfig } from '@runner/hub/modelDir';
import { writeRandomModel } from '../../test/support/randomModel';
import type { Job } from '../peer/run';
import { median } from './statistics';

export const { values: options } = parseArgs({
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
/** Optimizer steps of a run, those included that are not measured. */
export const steps = Number(options.steps) + WARMUP;
const rounds = Number(options.rounds);
const here = resolve(import.meta.dirname, '..');
const run = promisify(execFile);

export interface Sample {
  input_ids: number[];
  labels: number[];
}

export interface PeerJob {
  readonly config: ModelConfig;
  readonly batch: number;
  readonly samples: () => Sample[];
  readonly pad: Job['pad'];
  readonly method?: Job['method'];
}

interface Side {
  tokens_per_second: number;
  step_seconds: number;
  losses: number[];
  peak_rss_gb: number;
  /** Most that the first GPU held, less what it held before. */
  peak_gpu_gb?: number;
}

/** So many full samples of random-looking tokens for each step. */
export const fullSamples = (batch: number, length: number, vocabulary = 50257): Sample[] =>
  Array.from({ length: batch * steps }, (_, row) => {
    const ids = Array.from({ length }, (_token, i) => (i * 7919 + row * 31) % vocabulary);
    return { input_ids: ids, labels: ids };
  });

/** Runs those jobs that are asked for. @returns what was measured, by name */
export async function compare(
  bench: string,
  jobs: Readonly<Record<string, PeerJob>>,
  usual = Object.keys(jobs),
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'tuneyard-peer-'));
  try {
    const figures: Record<string, number | string> = { bench };
    for (const [name, job] of Object.entries(jobs)) {
      if (options.only === undefined ? !usual.includes(name) : name !== options.only) continue;
      report(name, await sidesOf(name, job, work), figures);
    }
    if (!options.peer) console.log('No --peer PYTHON was given: only our side was run.');
    console.log(JSON.stringify(figures));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function sidesOf(
  name: string,
  { config, batch, samples: make, pad, method = 'full' }: PeerJob,
  work: string,
): Promise<Record<string, Side[]>> {
  const dir = join(work, String(config.model_type));
  const model = existsSync(dir) ? dir : await writeRandomModel(dir, config);
  const samples = make();
  const file = join(work, `${name}.json`);
  const batches = Array.from({ length: steps }, (_, i) => samples.slice(i * batch, (i + 1) * batch));
  await writeFile(file, JSON.stringify({ batches }));
  const longest = Math.max(...samples.map(({ input_ids }) => input_ids.length));
  const { cuda, bf16 } = options;
  const job: Job = { model, batches: file, pad, steps, warmup: WARMUP, cuda, bf16, method };
  const trainer = [join(here, 'peer/trainer.py'), model, file, '--pad', pad, '--steps', String(steps)];
  trainer.push('--max-length', String(longest), '--warmup', String(WARMUP), '--threads', String(cpus().length));
  trainer.push('--method', method);
  if (cuda) trainer.push('--cuda');
  if (bf16) trainer.push('--bf16');
  const sides: Record<string, Side[]> = { ours: [], ...(options.peer && { Trainer: [] }) };
  if (options.peer && options.compile) sides.compiled = [];
  for (let round = 0; round < rounds; round++) {
    sides.ours!.push(await side(process.execPath, ['--import', 'tsx', join(here, 'peer/run.ts'), JSON.stringify(job)]));
    sides.Trainer?.push(await side(options.peer!, trainer));
    sides.compiled?.push(await side(options.peer!, [...trainer, '--compile']));
  }
  return sides;
}

/** Bytes of the first GPU that are in use, in GB. */
async function gpuGigabytes(): Promise<number> {
  const query = ['-i', '0', '--query-gpu=memory.used', '--format=csv,noheader,nounits'];
  return (Number((await run('nvidia-smi', query)).stdout) * 2 ** 20) / 1e9;
}

async function side(command: string, args: string[]): Promise<Side> {
  const before = options.cuda ? await gpuGigabytes() : 0;
  let peak = before;
  const watch = options.cuda
    ? setInterval(async () => {
        peak = Math.max(peak, await gpuGigabytes());
      }, 200)
    : undefined;
  try {
    const { stdout } = await run(command, args, { maxBuffer: 1 << 26, cwd: resolve(here, '..') });
    const figures = JSON.parse(stdout.trim().split('\n').at(-1)!) as Side;
    return options.cuda ? { ...figures, peak_gpu_gb: peak - before } : figures;
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
