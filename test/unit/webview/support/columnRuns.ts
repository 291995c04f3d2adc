/** Runs whose columns a test writes itself, a row at a time, behind the interface that panels know. */

import type { Hosts } from '@host/hosts/hosts';
import { type FollowedRun, type HostRun, type RunRef, type Runs, runKey, type Timed } from '@host/runs/runs';
import type { CheckpointEvent, EndEvent, EvalEvent, StartEvent, WarningEvent } from '@protocol/events';
import { Emitter } from 'vscode-jsonrpc';

const COLUMNS = [
  'step',
  'time',
  'seconds',
  'epoch',
  'tokens_seen',
  'loss',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory_bytes',
  'gpu_bytes',
  'gpu_utilization',
] as const;
type Row = Partial<Record<(typeof COLUMNS)[number], number>>;
type Columns = Record<(typeof COLUMNS)[number], Float64Array> & { length: number };

export class ColumnRun implements FollowedRun {
  readonly log: Columns;
  evals: Timed<EvalEvent>[] = [];
  checkpoints: Timed<CheckpointEvent>[] = [];
  warnings: Timed<WarningEvent>[] = [];
  readonly generations = [];
  rankSeconds: number[] = [];
  skippedSteps = 0;
  start: Timed<StartEvent> | undefined;
  end: Timed<EndEvent> | undefined;
  lastSeq = 0;
  followers = 0;
  readonly changes = new Emitter<{ rewritten?: number }>();
  readonly onDidChange = this.changes.event;
  summary: HostRun | undefined;

  constructor(
    readonly ref: RunRef,
    capacity: number,
  ) {
    const columns = COLUMNS.map((name) => [name, new Float64Array(capacity).fill(Number.NaN)]);
    this.log = { ...(Object.fromEntries(columns) as Record<(typeof COLUMNS)[number], Float64Array>), length: 0 };
    this.summary = {
      id: ref.run,
      host: ref.host,
      dir: `/runs/${ref.run}`,
      state: 'running',
      started: '2026-11-23T05:00:00.000Z',
      updated: '2026-11-23T05:10:00.000Z',
      step: 0,
      total_steps: 0,
    };
  }

  push(row: Row): void {
    for (const name of COLUMNS) this.log[name][this.log.length] = row[name] ?? Number.NaN;
    this.log.length++;
  }

  changed(): void {
    this.changes.fire({});
  }

  /** As after a resume from an older checkpoint. */
  rewind(row: number): void {
    this.log.length = row;
    this.changes.fire({ rewritten: row });
  }

  dispose(): void {
    this.followers--;
  }
}

export class ColumnRuns implements Runs {
  readonly changes = new Emitter<void>();
  readonly onDidChange = this.changes.event;
  private readonly runs = new Map<string, ColumnRun>();

  constructor(...runs: ColumnRun[]) {
    for (const run of runs) this.runs.set(runKey(run.ref), run);
  }

  list(): HostRun[] {
    return [...this.runs.values()].flatMap(({ summary }) => (summary ? [summary] : []));
  }

  get(ref: RunRef): HostRun | undefined {
    return this.runs.get(runKey(ref))?.summary;
  }

  follow(ref: RunRef): ColumnRun {
    const run = this.runs.get(runKey(ref));
    if (!run) throw new Error(`no run ${runKey(ref)}`);
    run.followers++;
    return run;
  }
}

/** This machine alone. */
export const noHosts: Hosts = {
  list: () => [],
  get: () => undefined,
  add: () => Promise.reject(new Error('nothing can be added')),
  remove: () => Promise.resolve(),
  onDidChange: new Emitter<void>().event,
};

/** A run as runs go: the loss falls and jitters, the rate warms up and falls, checkpoints and evaluations now and then. */
export function trainedRun(
  ref: RunRef,
  rows: number,
  options: { seed?: number; capacity?: number; gpus?: boolean } = {},
): ColumnRun {
  const run = new ColumnRun(ref, options.capacity ?? rows);
  const random = mulberry(options.seed ?? 1);
  const time = '2026-11-23T05:00:00.000Z';
  run.start = {
    type: 'start',
    seq: 1,
    time,
    run: ref.run,
    pid: 1,
    step: 0,
    total_steps: rows * 2,
    model: 'TinyStories',
    method: 'full',
    parameters: 1e6,
    trainable_parameters: 1e6,
    train_samples: 400,
    eval_samples: 40,
    device: 'cpu',
    device_reason: 'CPU',
  };
  run.summary = { ...run.summary!, total_steps: rows * 2, model: 'TinyStories', method: 'full' };
  for (let i = 0; i < rows; i++) pushTrained(run, i, rows, random, options.gpus ?? false);
  const every = Math.max(1, Math.floor(rows / 5));
  for (let step = every; step <= rows; step += every) {
    const eval_loss = 1.2 + 2.6 * Math.exp((-2.2 * step) / rows) + 0.15 * (step / rows);
    const shared = { seq: step, time, step };
    run.evals.push({
      ...shared,
      type: 'eval',
      epoch: step / rows,
      eval_loss,
      eval_perplexity: Math.exp(eval_loss),
      eval_samples: 40,
      eval_tokens: 4000,
      eval_runtime: 1,
      best: true,
    });
    run.checkpoints.push({
      ...shared,
      type: 'checkpoint',
      path: `/runs/${ref.run}/checkpoints/step-${step}`,
      bytes: 1e7,
      removed: [],
    });
  }
  run.warnings.push({
    type: 'warning',
    seq: 7,
    time,
    step: Math.floor(rows * 0.3),
    code: 'slow',
    message: 'the data cannot keep up with the device; shorten the samples or put them on a faster disk.',
  });
  return run;
}

export function pushTrained(run: ColumnRun, i: number, rows: number, random: () => number, gpus = false): void {
  const progress = i / rows;
  run.push({
    step: i + 1,
    time: Date.UTC(2026, 10, 23) + i * 800,
    seconds: (i + 1) * 0.8,
    epoch: progress,
    tokens_seen: (i + 1) * 1024,
    loss: 1 + 3 * Math.exp(-3 * progress) + 0.5 * (random() - 0.5) * (1 - 0.4 * progress),
    learning_rate: progress < 0.1 ? (5e-4 * progress) / 0.1 : 5e-4 * (1 - (progress - 0.1) / 1.9),
    grad_norm: 0.6 + 0.8 * random() * (1 - 0.5 * progress) + (random() > 0.995 ? 3 : 0),
    tokens_per_second: 1280 + 160 * random(),
    memory_bytes: 4.1e8 + 2e7 * progress,
    ...(gpus && { gpu_bytes: 1.1e10 + 1e8 * random(), gpu_utilization: 0.85 + 0.14 * random() }),
  });
}

/** Numbers in [0, 1) that are the same each time. */
export function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
