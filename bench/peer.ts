/**
 * The same job here and under transformers' Trainer: TinyStories-33M's shape (random weights), batches of eight, AdamW,
 * float32, the same samples in the same order; once every sample 128 tokens long, once the backstories as they are
 * (Trainer pads to the longest of a batch; we compute real tokens and supervised positions only). The two take turns,
 * each in a process of its own.
 *
 * usage: npm run bench -- peer [--peer PYTHON] [--steps N] [--rounds N]     PYTHON has torch and transformers
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { loadDataset } from '@runner/data/dataset';
import { loadTokenizer } from '@runner/data/tokenizer';
import { Arena, layoutArena } from '@runner/train/arena';
import { writeModelDir } from '@runner/train/checkpoint';
import { median } from './lib/statistics';
import { randomize, TINY_STORIES_33M, tinyStories33M } from './lib/tinyStories33M';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    steps: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '2' },
  },
});
const WARMUP = 2;
const BATCH = 8;
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
}

const work = await mkdtemp(join(tmpdir(), 'tuneyard-peer-'));
try {
  const model = tinyStories33M();
  const parameters = new Arena(layoutArena(model.parameters));
  randomize(model, parameters, 1);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  const dir = join(work, 'model');
  await writeModelDir({ dir, sourceDir: work, config: TINY_STORIES_33M, weights });

  const tokenizer = await loadTokenizer(join(example, 'model'));
  const data = await loadDataset(join(example, 'backstories.jsonl'), {
    tokenizer,
    maxLength: 512,
    seed: 42,
    baseDir: example,
  });
  const stories = data.train
    .slice(0, BATCH * steps)
    .map(({ inputIds, labels }) => ({ input_ids: [...inputIds], labels: [...labels] }));
  const full = Array.from({ length: BATCH * steps }, (_, row) => {
    const ids = Array.from({ length: 128 }, (_token, i) => (i * 7919 + row * 31) % model.vocabSize);
    return { input_ids: ids, labels: ids };
  });

  const figures: Record<string, number | string> = { bench: 'peer' };
  for (const [name, samples, pad] of [
    ['padded', full, 'max'],
    ['backstories', stories, 'longest'],
  ] as const) {
    const file = join(work, `${name}.json`);
    const batches = Array.from({ length: steps }, (_, i) => samples.slice(i * BATCH, (i + 1) * BATCH));
    await writeFile(file, JSON.stringify({ batches }));
    const longest = Math.max(...samples.map(({ input_ids }) => input_ids.length));
    const ours: Side[] = [];
    const theirs: Side[] = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(
        await side(process.execPath, [
          '--import',
          'tsx',
          join(here, 'peer/run.ts'),
          dir,
          file,
          pad,
          String(steps),
          String(WARMUP),
        ]),
      );
      if (!values.peer) continue;
      const trainer = [
        '--pad',
        pad,
        '--steps',
        String(steps),
        '--max-length',
        String(longest),
        '--warmup',
        String(WARMUP),
      ];
      theirs.push(
        await side(values.peer, [
          join(here, 'peer/trainer.py'),
          dir,
          file,
          ...trainer,
          '--threads',
          String(cpus().length),
        ]),
      );
    }
    report(name, ours, theirs, figures);
  }
  if (!values.peer) console.log('No --peer PYTHON was given: only our side was run.');
  console.log(JSON.stringify(figures));
} finally {
  await rm(work, { recursive: true, force: true });
}

async function side(command: string, args: string[]): Promise<Side> {
  const { stdout } = await run(command, args, { maxBuffer: 1 << 26, cwd: resolve(here, '..') });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Side;
}

function report(name: string, ours: Side[], theirs: Side[], figures: Record<string, number | string>): void {
  const of = (sides: Side[], key: 'tokens_per_second' | 'step_seconds' | 'peak_rss_gb') =>
    median(sides.map((s) => s[key]));
  const line = (who: string, sides: Side[]) =>
    console.log(
      `${name.padEnd(12)} ${who.padEnd(8)} ${of(sides, 'tokens_per_second').toFixed(0).padStart(6)} tokens/s  ${of(sides, 'step_seconds').toFixed(2)} s a step  ${of(sides, 'peak_rss_gb').toFixed(2)} GB  losses ${sides[0]!.losses.map((l) => l.toFixed(3)).join(' ')}`,
    );
  line('ours', ours);
  figures[`${name}_tokens_per_second`] = Math.round(of(ours, 'tokens_per_second'));
  figures[`${name}_peak_rss_gb`] = Number(of(ours, 'peak_rss_gb').toFixed(2));
  if (theirs.length === 0) return;
  line('Trainer', theirs);
  const worst = Math.max(...ours[0]!.losses.map((loss, i) => Math.abs(loss / theirs[0]!.losses[i]! - 1)));
  console.log(`${''.padEnd(12)} losses differ by ${worst.toExponential(1)} at most`);
  figures[`${name}_ratio`] = Number((of(ours, 'tokens_per_second') / of(theirs, 'tokens_per_second')).toFixed(2));
  figures[`${name}_memory_ratio`] = Number((of(ours, 'peak_rss_gb') / of(theirs, 'peak_rss_gb')).toFixed(2));
  figures[`${name}_worst_loss`] = Number(worst.toExponential(1));
}
