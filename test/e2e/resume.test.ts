import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EvalEvent, LogEvent, RunEvent, StartEvent } from '@protocol/events';
import { Random } from '@runner/data/random';
import { gpt2 } from '@runner/models/gpt2';
import { initializeParameters } from '@runner/models/initialize';
import { writeModelDir } from '@runner/train/checkpoint';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { tuneyard, tuneyardProcess } from '../unit/cli/support';
import { sourceFolder } from '../unit/decode/namedModel';

const CONFIG = {
  model_type: 'gpt2',
  vocab_size: 290,
  n_embd: 24,
  n_layer: 2,
  n_head: 3,
  n_positions: 80,
  // Dropout as GPT-2 has it: a resumed run must drop the same units.
  resid_pdrop: 0.1,
  embd_pdrop: 0.1,
  attn_pdrop: 0.1,
};

const OPTIMIZERS = ['adamw', 'adam', 'sgd', 'adagrad', 'adafactor'] as const;
const PRECISIONS = ['bf16', 'fp16'] as const;

let folder: string;

/** Uneven lengths, accumulation over three batches, a schedule with warmup: all that a resumed run must take up. */
const recipe = (more: Record<string, unknown> = {}) => ({
  model: './model',
  dataset: './data.jsonl',
  max_length: 64,
  learning_rate: 1e-2,
  lr_scheduler_type: 'cosine',
  warmup_steps: 3,
  num_train_epochs: 2,
  per_device_train_batch_size: 3,
  gradient_accumulation_steps: 3,
  group_by_length: true,
  weight_decay: 0.1,
  logging_steps: 3,
  eval_strategy: 'steps',
  eval_steps: 4,
  save_strategy: 'steps',
  save_steps: 2,
  save_total_limit: 2,
  ...more,
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tuneyard-resume-'));
  const parameters = initializeParameters(gpt2.parse(CONFIG, 'config.json'), 3);
  const weights = parameters.layout.tensors.map(({ name, shape }) => ({ name, shape, data: parameters.slice(name) }));
  await writeModelDir({
    dir: join(folder, 'model'),
    sourceDir: await sourceFolder(join(folder, 'source')),
    config: CONFIG,
    weights,
  });
  const random = new Random(5);
  const rows = Array.from({ length: 50 }, (_, i) => ({
    text: `the mage ${i} of`,
    // Two lengths make batches of four: each more would be compiled in every process.
    target: ` ${'the north and '.repeat(1 + 3 * random.nextInt(2))}the sword`,
  }));
  await writeFile(join(folder, 'data.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  for (const optim of OPTIMIZERS) {
    const steps = optim === 'adamw' ? {} : { max_steps: 5 };
    await writeFile(join(folder, `${optim}.tune.json`), JSON.stringify(recipe({ optim, ...steps })));
  }
  for (const precision of PRECISIONS) {
    const content = JSON.stringify(recipe({ [precision]: true, max_steps: 5 }));
    await writeFile(join(folder, `${precision}.tune.json`), content);
  }
  const lora = { r: 4, lora_alpha: 16, lora_dropout: 0.1, target_modules: 'all-linear', bias: 'all' };
  await writeFile(join(folder, 'lora.tune.json'), JSON.stringify(recipe({ method: 'lora', lora, max_steps: 5 })));
  await writeFile(join(folder, 'qlora.tune.json'), JSON.stringify(recipe({ method: 'qlora', lora, max_steps: 5 })));
  await writeFile(join(folder, 'ia3.tune.json'), JSON.stringify(recipe({ method: 'ia3', max_steps: 5 })));
  for (const method of ['prompt_tuning', 'prefix_tuning', 'p_tuning'] as const)
    await writeFile(join(folder, `${method}.tune.json`), JSON.stringify(recipe({ method, max_steps: 5 })));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const runDir = (name: string) => join(folder, 'runs', name);
const train = (optim: string, name: string, ...more: string[]) => [
  'train',
  join(folder, `${optim}.tune.json`),
  '--run-dir',
  runDir(name),
  ...more,
];

function events(name: string): RunEvent[] {
  const file = join(runDir(name), 'events.jsonl');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as RunEvent);
}

/** What of a run follows from recipe and data alone: the last word on each step, without times and memory. */
function numbers(name: string) {
  const found = new Map<string, unknown>();
  for (const event of events(name)) {
    if (event.type === 'log') {
      const { step, epoch, loss, learning_rate, grad_norm, supervised_tokens, tokens_seen }: LogEvent = event;
      found.set(`log ${step}`, { epoch, loss, learning_rate, grad_norm, supervised_tokens, tokens_seen });
    } else if (event.type === 'eval') {
      const { step, eval_loss, best }: EvalEvent = event;
      found.set(`eval ${step}`, { eval_loss, best });
    }
  }
  return found;
}

const finalWeights = (name: string) => {
  const [adapter, model] = ['adapter_model', 'model'].map((file) => join(runDir(name), 'model', `${file}.safetensors`));
  return readFileSync(existsSync(adapter!) ? adapter! : model!);
};

function expectSameRun(resumed: string, whole: string): void {
  expect(numbers(resumed)).toEqual(numbers(whole));
  expect(finalWeights(resumed).equals(finalWeights(whole))).toBe(true);
  events(resumed).forEach((event, i) => {
    expect(event.seq).toBe(i + 1);
  });
}

/** Starts a run and kills it without warning as soon as it has said so many lines. */
async function trainAndKill(optim: string, name: string, lines: number, delayMs: number): Promise<boolean> {
  const child = tuneyardProcess([...train(optim, name, '--json'), ...(events(name).length > 0 ? ['--resume'] : [])]);
  let said = 0;
  child.stdout.on('data', (data: Buffer) => {
    for (const byte of data) if (byte === 10) said++;
    if (said >= lines) setTimeout(() => child.kill('SIGKILL'), delayMs);
  });
  const [, signal] = await once(child, 'exit');
  return signal === 'SIGKILL';
}

describe('a run that is killed and resumed', () => {
  it('ends bit for bit as one that was left alone, however often and wherever it was killed', async () => {
    expect((await tuneyard(train('adamw', 'whole'))).status).toBe(0);
    const seed = Date.now() % 2 ** 31;
    const random = new Random(seed);
    let kills = 0;
    for (let attempt = 0; attempt < 4; attempt++) {
      if (await trainAndKill('adamw', 'killed', 3 + random.nextInt(9), random.nextInt(40))) kills++;
    }
    expect(kills, `seed ${seed}`).toBeGreaterThan(0);
    const last = await tuneyard(train('adamw', 'killed', '--resume'));
    expect(last.status, `seed ${seed}: ${last.stderr}`).toBe(0);
    expectSameRun('killed', 'whole');
  });

  it('uses the checkpoint before one that was cut short, and says so', async () => {
    // The middle of a run, with two checkpoints.
    const child = tuneyardProcess(train('adamw', 'cut', '--json'));
    let out = '';
    child.stdout.on('data', (data) => {
      out += data;
      if (out.split('"type":"checkpoint"').length > 4) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const checkpoints = join(runDir('cut'), 'checkpoints');
    const kept = (await readdir(checkpoints))
      .flatMap((name) => (/^step-\d+$/.test(name) ? [Number(name.slice(5))] : []))
      .sort((a, b) => b - a);
    expect(kept.length).toBeGreaterThan(1);
    await truncate(join(checkpoints, `step-${kept[0]}`, 'model.safetensors'), 1000);
    expect((await tuneyard(train('adamw', 'cut', '--resume'))).status).toBe(0);
    const skipped = events('cut').find((event) => event.type === 'warning' && event.code === 'checkpoint_skipped');
    expect(skipped).toMatchObject({ message: expect.stringContaining(`step-${kept[0]}`) });
    expect(events('cut').findLast((event) => event.type === 'start')).toMatchObject({ step: kept[1] });
    expectSameRun('cut', 'whole');
  });
});

describe('a run that is asked to stop', () => {
  /** Stops a run at its first log line, looks at what it left, and lets it go on. */
  async function stopAndResume(optim: string, name: string, ...more: string[]): Promise<void> {
    const child = tuneyardProcess(train(optim, name, '--json', ...more));
    let asked = false;
    child.stdout.on('data', (data: Buffer) => {
      if (asked || !data.includes('"type":"log"')) return;
      asked = true;
      child.kill('SIGINT');
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
    const end = events(name).at(-1);
    expect(end).toMatchObject({ type: 'end', status: 'stopped' });
    expect(events(name)).toContainEqual(
      expect.objectContaining({ type: 'checkpoint', step: (end as { step: number }).step }),
    );
    expect((await tuneyard(train(optim, name, '--resume', ...more))).status).toBe(0);
  }

  it.each([...OPTIMIZERS, ...PRECISIONS])(
    'saves at the end of the step and goes on as if nothing had been (%s)',
    async (optim) => {
      const whole = optim === 'adamw' ? 'whole' : `whole-${optim}`;
      if (optim !== 'adamw') expect((await tuneyard(train(optim, whole))).status).toBe(0);
      await stopAndResume(optim, `stopped-${optim}`);
      expectSameRun(`stopped-${optim}`, whole);
    },
  );

  it('goes on so with an adapter, on the host and where weights are in a device’s memory, whole or by layer', async () => {
    expect((await tuneyard(train('lora', 'lora'))).status).toBe(0);
    await stopAndResume('lora', 'stopped-lora');
    expectSameRun('stopped-lora', 'lora');
    const start = events('lora').find((event) => event.type === 'start') as StartEvent;
    expect(start.trainable_parameters).toBeLessThan(0.5 * start.parameters);
    vi.stubEnv('TUNEYARD_MEMORY', 'apart');
    for (const key of ['offload_optimizer', 'offload_param'])
      expect((await tuneyard(train('lora', key, '--set', `${key}=true`))).status).toBe(0);
    vi.unstubAllEnvs();
    for (const key of ['offload_optimizer', 'offload_param']) expectSameRun(key, 'lora');
  });

  it('goes on so with factors, saved as an adapter that can be merged', async () => {
    expect(await tuneyard(train('ia3', 'ia3'))).toMatchObject({ status: 0, stderr: '' });
    await stopAndResume('ia3', 'stopped-ia3');
    expectSameRun('stopped-ia3', 'ia3');
    const [saved, merged] = [join(runDir('ia3'), 'model'), join(folder, 'merged')];
    expect(await readdir(saved)).toEqual(expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors']));
    expect(await tuneyard(['export', runDir('ia3'), '--out', merged])).toMatchObject({ status: 0, stderr: '' });
    const lossOf = async (model: string) => {
      const { stdout, stderr } = await tuneyard(['eval', model, '--recipe', join(folder, 'ia3.tune.json'), '--json']);
      expect(stderr).toBe('');
      return JSON.parse(stdout).eval_loss as number;
    };
    const tuned = await lossOf(saved);
    expect(Math.abs((await lossOf(merged)) / tuned - 1)).toBeLessThan(1e-5);
    expect(Math.abs((await lossOf(join(folder, 'model'))) / tuned - 1)).toBeGreaterThan(1e-4);
  });

  it.each(['prompt_tuning', 'prefix_tuning', 'p_tuning'])('goes on so with virtual tokens (%s)', async (method) => {
    const texts = ['--set', 'generation={"prompts": ["the mage"], "max_new_tokens": 4}'];
    expect(await tuneyard(train(method, method, ...texts))).toMatchObject({ status: 0, stderr: '' });
    await stopAndResume(method, `stopped-${method}`, ...texts);
    expectSameRun(`stopped-${method}`, method);
    const recipe = join(folder, `${method}.tune.json`);
    const { stdout, stderr } = await tuneyard(['eval', runDir(method), '--recipe', recipe, '--json']);
    expect(stderr).toBe('');
    const last = events(method).findLast((event) => event.type === 'eval') as EvalEvent;
    expect(JSON.parse(stdout).eval_loss / last.eval_loss).toBeCloseTo(1, 5);
    expect(await tuneyard(['export', runDir(method), '--out', join(folder, 'no')])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/is no part of the weights, so it cannot be merged into them; use it as it is/),
    });
  });

  it('goes on so with an adapter beside weights of 4 bits, and in bfloat16', async () => {
    const prompts = ['--set', 'generation={"prompts": ["the mage"], "max_new_tokens": 4}'];
    expect(await tuneyard(train('qlora', 'qlora', ...prompts))).toMatchObject({ status: 0, stderr: '' });
    await stopAndResume('qlora', 'stopped-qlora', ...prompts);
    expectSameRun('stopped-qlora', 'qlora');
    const loss = (name: string) => (events(name).findLast((event) => event.type === 'log') as LogEvent).loss;
    expect(loss('qlora')).not.toBe(loss('lora'));
    expect(loss('qlora') / loss('lora')).toBeCloseTo(1, 1);
    const parameters = (name: string) =>
      (events(name).find((event) => event.type === 'start') as StartEvent).parameters;
    expect(parameters('qlora')).toBe(parameters('lora'));
    vi.stubEnv('TUNEYARD_MEMORY', 'apart');
    for (const set of ['bf16=true', 'quantization.load_in_8bit=true'])
      expect(await tuneyard(train('qlora', set, '--set', set))).toMatchObject({ status: 0, stderr: '' });
    vi.unstubAllEnvs();
    expect(loss('bf16=true') / loss('qlora')).toBeCloseTo(1, 1);
    expect(loss('quantization.load_in_8bit=true') / loss('lora')).toBeCloseTo(1, 2);
  });

  it('goes on so where weights and moments are in a device’s memory, and saves and writes texts from there', async () => {
    const prompts = ['--set', 'generation={"prompts": ["the mage"], "max_new_tokens": 6}'];
    vi.stubEnv('TUNEYARD_MEMORY', 'apart');
    expect(await tuneyard(train('adam', 'apart', ...prompts))).toMatchObject({ status: 0, stderr: '' });
    await stopAndResume('adam', 'apart-stopped', ...prompts);
    vi.unstubAllEnvs();
    expectSameRun('apart-stopped', 'apart');

    expect((await tuneyard(train('adam', 'near', ...prompts))).status).toBe(0);
    const last = (name: string) => events(name).findLast((event) => event.type === 'log') as LogEvent;
    const texts = (name: string) => events(name).flatMap((event) => (event.type === 'generation' ? [event] : []));
    // On the host a kernel adds up the gradient's squares, in an order of its own.
    expect(last('apart').loss / last('near').loss).toBeCloseTo(1, 5);
    expect(texts('apart').map(({ text }) => text)).toEqual(texts('near').map(({ text }) => text));
    // Each is of the weights on the device as they were then.
    expect(new Set(texts('apart').map(({ weights }) => weights)).size).toBe(3);

    // Updated on the host, where the norm is taken as well: the same run to the bit.
    vi.stubEnv('TUNEYARD_MEMORY', 'apart');
    const offloaded = train('adam', 'offloaded', ...prompts, '--set', 'offload_optimizer=true');
    expect(await tuneyard(offloaded)).toMatchObject({ status: 0, stderr: '' });
    // And with the weights there, a layer at a time on the device, and what else comes from the host at its place there.
    const streamed = train('adam', 'streamed', ...prompts, '--set', 'offload_param=true', '--set', 'cuda_graphs=true');
    expect(await tuneyard(streamed)).toMatchObject({ status: 0, stderr: '' });
    vi.unstubAllEnvs();
    expectSameRun('offloaded', 'near');
    expectSameRun('streamed', 'near');
  });
});

describe('the adapter of a run', () => {
  const last = (name: string) => (events(name).findLast((event) => event.type === 'eval') as EvalEvent).eval_loss;

  it('is evaluated, merged and trained further as any model', async () => {
    expect((await tuneyard(train('lora', 'dora', '--set', 'lora.use_dora=true'))).status).toBe(0);
    expect(last('dora')).not.toBe(last('lora'));
    for (const name of ['lora', 'dora']) {
      const said = await tuneyard(['eval', runDir(name), '--json']);
      expect(JSON.parse(said.stdout).eval_loss / last(name)).toBeCloseTo(1, 5);
    }

    const merged = join(folder, 'merged');
    expect(await tuneyard(['export', runDir('lora'), '--out', merged])).toMatchObject({ status: 0, stderr: '' });
    const recipeFile = join(folder, 'lora.tune.json');
    const again = await tuneyard(['eval', merged, '--recipe', recipeFile, '--json']);
    expect(JSON.parse(again.stdout).eval_loss / last('lora')).toBeCloseTo(1, 5);

    // With a learning rate of nothing it stays what it was; another adapter than the recipe's is refused.
    const further = [...train('lora', 'further'), '--set', `model=${join(runDir('lora'), 'model')}`];
    expect(await tuneyard([...further, '--set', 'learning_rate=1e-30'])).toMatchObject({ status: 0, stderr: '' });
    expect(last('further') / last('lora')).toBeCloseTo(1, 6);
    const other = await tuneyard([...train('lora', 'other'), ...further.slice(-2), '--set', 'lora.r=3']);
    expect(other.status).toBe(2);
    expect(other.stderr).toContain('has "r": 4, the recipe 3; make "lora" the same.');

    // Trained whole, it begins as base and adapter in one.
    const whole = [
      ...train('lora', 'whole-lora'),
      ...further.slice(-2),
      '--set',
      'method=full',
      '--set',
      'learning_rate=1e-30',
    ];
    expect(await tuneyard(whole)).toMatchObject({ status: 0, stderr: '' });
    expect(last('whole-lora') / last('lora')).toBeCloseTo(1, 5);
    expect(existsSync(join(runDir('whole-lora'), 'model', 'model.safetensors'))).toBe(true);
  });
});

describe('what a run keeps', () => {
  it('the best and the last checkpoint, whatever the limit; and it ends with the best one’s weights', async () => {
    const file = join(folder, 'best.tune.json');
    // So high a rate that the model gets worse again.
    await writeFile(
      file,
      JSON.stringify(recipe({ learning_rate: 0.3, save_total_limit: 1, eval_steps: 2, load_best_model_at_end: true })),
    );
    expect((await tuneyard(['train', file, '--run-dir', runDir('best')])).status).toBe(0);
    const evals = events('best').filter((event) => event.type === 'eval');
    const best = evals.reduce((a, b) => (b.eval_loss < a.eval_loss ? b : a));
    const end = events('best').at(-1);
    expect(end).toMatchObject({ status: 'completed', best_step: best.step });
    const last = (end as { step: number }).step;
    expect((await readdir(join(runDir('best'), 'checkpoints'))).sort()).toEqual(
      [...new Set([`step-${best.step}`, `step-${last}`])].sort(),
    );
    const kept = readFileSync(join(runDir('best'), 'checkpoints', `step-${best.step}`, 'model.safetensors'));
    expect(finalWeights('best').equals(kept)).toBe(true);
  });

  it('stops early when the metric no longer improves', async () => {
    const file = join(folder, 'early.tune.json');
    await writeFile(
      file,
      JSON.stringify(recipe({ learning_rate: 1, max_grad_norm: 0, eval_steps: 1, early_stopping_patience: 2 })),
    );
    expect((await tuneyard(['train', file, '--run-dir', runDir('early')])).status).toBe(0);
    const steps = events('early').flatMap((event) => (event.type === 'eval' ? [event.best] : []));
    expect(steps.slice(-2)).toEqual([false, false]);
    expect(events('early').at(-1)).toMatchObject({ status: 'completed', step: steps.length });
    expect(steps.length).toBeLessThan(10);
  });
});
