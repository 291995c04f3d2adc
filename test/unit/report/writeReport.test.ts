import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEventBody } from '@protocol/events';
import type { ReportData } from '@protocol/report';
import { collectReport } from '@runner/report/collectReport';
import { writeReport } from '@runner/report/writeReport';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { buildReport } from '../../../scripts/build.mjs';

const BEGIN = Date.parse('2026-02-03T10:00:00Z');
let runDir: string;

beforeAll(() => buildReport(() => {}));

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'tuneyard-report-'));
  onTestFinished(() => rmSync(runDir, { recursive: true }));
});

/** Writes events, each with the second after the begin at which it came. */
function write(events: [number, RunEventBody][], tail = ''): void {
  const lines = events.map(([second, body], i) =>
    JSON.stringify({ seq: i + 1, time: new Date(BEGIN + second * 1000).toISOString(), ...body }),
  );
  writeFileSync(join(runDir, 'events.jsonl'), lines.map((line) => `${line}\n`).join('') + tail);
}

const start = (step = 0): RunEventBody => ({
  type: 'start',
  run: 'a-run',
  pid: 1,
  step,
  total_steps: 100,
  model: './model',
  method: 'full',
  parameters: 2e6,
  trainable_parameters: 2e6,
  train_samples: 90,
  eval_samples: 10,
  device: 'cpu',
  device_reason: 'CPU: asked for',
});
const log = (step: number, loss: number, grad_norm = 1): RunEventBody => ({
  type: 'log',
  step,
  epoch: 1,
  loss,
  learning_rate: 1e-3,
  grad_norm,
  tokens_per_second: 100,
  supervised_tokens: 50,
  tokens_seen: step * 64,
  memory_bytes: 1e8,
  step_seconds: 0.1,
});
const evaluation = (step: number, eval_loss: number, best: boolean): RunEventBody => ({
  type: 'eval',
  step,
  epoch: 1,
  eval_loss,
  eval_perplexity: Math.exp(eval_loss),
  eval_samples: 10,
  eval_tokens: 500,
  eval_runtime: 1,
  best,
});
const generation = (step: number, prompt: string, text: string): RunEventBody => ({
  type: 'generation',
  step,
  prompt,
  text,
  weights: `sha256:00000000000${step % 10}`,
});
const end = (step: number): RunEventBody => ({ type: 'end', status: 'completed', step, runtime: 1 });

describe('the report’s data', () => {
  it('keeps the whole curve of a short run, its best evaluation, and the texts before and after', async () => {
    write([
      [0, start()],
      [0, generation(0, 'p', 'the sea')],
      [1, log(1, 3)],
      [2, log(2, 2)],
      [2, evaluation(2, 2.2, true)],
      [2, generation(2, 'p', 'half way')],
      [3, log(3, 1)],
      [3, evaluation(3, 2.5, false)],
      [3, generation(3, 'p', 'the end')],
      [4, end(3)],
    ]);
    const data = await collectReport(runDir);
    expect(data).toMatchObject({ status: 'completed', step: 3, seconds: 4, resumes: 0, log_events: 3, recipe: null });
    expect(data.log.step).toEqual([1, 2, 3]);
    expect(data.log.loss).toEqual([3, 2, 1]);
    expect(data.log.smooth[0]).toBeCloseTo(3, 12);
    expect(data.log.smooth[2]).toBeGreaterThan(1);
    expect(data.evals.map((item) => item.best)).toEqual([true, false]);
    expect(data.generations).toEqual([
      {
        prompt: 'p',
        base: { step: 0, text: 'the sea', weights: 'sha256:000000000000' },
        tuned: { step: 3, text: 'the end', weights: 'sha256:000000000003' },
      },
    ]);
  });

  it('shows each step of a resumed run once and does not count the pause as work', async () => {
    write([
      [0, start()],
      [10, log(10, 5)],
      [20, log(20, 4)],
      [20, { type: 'checkpoint', step: 20, path: 'step-20', bytes: 1, removed: [] }],
      [30, log(30, 9)],
      [1000, start(20)],
      [1010, log(30, 3)],
    ]);
    const data = await collectReport(runDir);
    expect(data.log.step).toEqual([10, 20, 30]);
    expect(data.log.loss).toEqual([5, 4, 3]);
    expect(data.log.seconds).toEqual([10, 20, 40]);
    expect(data).toMatchObject({ status: 'unfinished', resumes: 1, seconds: 40, checkpoints: [{ step: 20 }] });
  });

  it('reads what a crash left: half a last line, losses that are no number, events of a newer runner', async () => {
    write(
      [
        [0, start()],
        [1, log(1, 3)],
        [2, log(2, Number.NaN)],
        [3, { type: 'novelty' } as never],
      ],
      '{"seq":4,"ty',
    );
    const data = await collectReport(runDir);
    expect(data.log.loss).toEqual([3, null]);
    expect(data.status).toBe('unfinished');
  });

  it('thins a long run and still shows its spikes', async () => {
    const events = Array.from({ length: 20_000 }, (_, i): [number, RunEventBody] => [
      i,
      log(i + 1, i === 7777 ? 50 : i === 9999 ? -50 : 2 + (i % 7) / 10, i === 12_345 ? 1000 : 1 + (i % 5) / 10),
    ]);
    write([[0, start()], ...events]);
    const { log: drawn, log_events } = await collectReport(runDir);
    expect(log_events).toBe(20_000);
    expect(drawn.step.length).toBeLessThan(4000);
    expect(drawn.step).toEqual([...drawn.step].sort((a, b) => a - b));
    expect([drawn.step[0], drawn.step.at(-1)]).toEqual([1, 20_000]);
    expect(drawn.loss).toContain(50);
    expect(drawn.loss).toContain(-50);
    expect(drawn.grad_norm).toContain(1000);
  });

  it('says where it looked when there is no run', async () => {
    await expect(collectReport(runDir)).rejects.toMatchObject({
      code: 'run_not_found',
      message: expect.stringContaining(join(runDir, 'events.jsonl')),
    });
  });
});

describe('the report’s page', () => {
  it('holds all of it in one file that asks no network and runs no script but its own', async () => {
    write([
      [0, start()],
      [1, log(1, 3)],
      [2, end(1)],
    ]);
    writeFileSync(join(runDir, 'recipe.json'), '{"learning_rate": 0.001}');
    const file = await writeReport(runDir);
    const html = readFileSync(file, 'utf8');
    expect(file).toBe(join(runDir, 'report.html'));
    expect(html).toContain(`content="default-src 'none'; script-src 'sha256-`);
    expect(html).not.toMatch(/<(link|img|iframe)\b|<script[^>]*\bsrc=|@import/);
    expect(embedded(html)).toEqual(await collectReport(runDir));
    expect(embedded(html).recipe).toEqual({ learning_rate: 0.001 });
  });

  it('cannot be broken out of by what a prompt or a model writes', async () => {
    const hostile = '</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \u2028';
    write([
      [0, start()],
      [0, generation(0, hostile, hostile)],
    ]);
    const html = readFileSync(await writeReport(runDir), 'utf8');
    expect(html).not.toContain('alert(1)</script>');
    expect(html).not.toContain('<img');
    expect(embedded(html).generations[0]).toMatchObject({ prompt: hostile, base: { text: hostile } });
  });
});

function embedded(html: string): ReportData {
  return JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)![1]!);
}
