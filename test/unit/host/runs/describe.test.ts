/** A run in one line: state, number, time. */
import { runDetails, runLine, runName } from '@host/runs/describe';
import type { HostRun } from '@host/runs/runs';
import { samplesPage } from '@host/runs/samplesPage';
import { formatAgo, formatBytes, formatDuration, formatLoss } from '@host/ui/format';
import { describe, expect, it } from 'vitest';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const run: HostRun = {
  host: 'local',
  id: '20261122-110000-backstories-lora-k3f9',
  dir: '/runs/x',
  state: 'running',
  started: '2026-11-22T11:00:00Z',
  updated: '2026-11-22T11:59:58Z',
  step: 151,
  total_steps: 233,
  last_loss: 2.3149,
  seconds_left: 180,
};
const line = (more: Partial<HostRun>) => runLine({ ...run, ...more }, NOW, 'en');

describe('the line of a run', () => {
  it('says how it goes while it goes', () => {
    expect(line({})).toBe('loss 2.31 · 64% · 3 min left');
    expect(line({ last_loss: undefined, seconds_left: undefined, step: 0 })).toBe('first step · 0%');
    expect(line({ total_steps: 0 })).toContain('starting');
    expect(line({ state: 'queued' })).toBe('waiting for its device');
    expect(line({ stopping: true })).toBe('stopping after this step · loss 2.31');
  });

  it('says how it went, and what it gained, when it is over', () => {
    const done = { state: 'completed', updated: '2026-11-21T12:00:00Z' } as const;
    expect(line({ ...done, eval_loss: 3.35, first_eval_loss: 3.76 })).toBe('eval 3.35 ↓0.41 · yesterday');
    expect(line({ ...done, eval_loss: 3.76, first_eval_loss: 3.35 })).toBe('eval 3.76 ↑0.41 · yesterday');
    expect(line({ ...done, eval_loss: 3.35, first_eval_loss: 3.3501 })).toBe('eval 3.35 · yesterday');
    expect(line({ ...done, eval_loss: 3.35 })).toBe('eval 3.35 · yesterday');
    expect(line(done)).toBe('loss 2.31 · yesterday');
    expect(line({ state: 'stopped' })).toContain('stopped at step 151');
  });

  it('says why it failed', () => {
    expect(line({ state: 'failed', message: 'out of memory at step 1' })).toContain('out of memory at step 1');
    expect(line({ state: 'crashed' })).toContain('ended without a word at step 151');
  });

  it('stands a loss that is no number', () => {
    expect(line({ last_loss: Number.NaN })).toContain('loss –');
    // What is not finite JSON has as null.
    const lost = { eval_loss: null as never, first_eval_loss: null as never };
    expect(line({ state: 'completed', ...lost })).toMatch(/^eval – · /);
  });

  it('is named as the person named it', () => {
    expect(runName(run.id)).toBe('backstories-lora');
    expect(runName('my-own')).toBe('my-own');
    expect(runDetails(run, NOW, 'en').map(([name]) => name)).toContain('Time left');
    expect(runDetails({ ...run, eval_accuracy: 0.875 }, NOW, 'en')).toContainEqual(['Accuracy', '87.5%']);
    expect(runDetails({ ...run, state: 'stopped' }, NOW, 'en').map(([name]) => name)).not.toContain('Time left');
  });
});

describe('numbers', () => {
  it('have three digits at most, and a unit', () => {
    expect([999, 999_600, 2_100_000, 24e9].map(formatBytes)).toEqual(['999 B', '1 MB', '2.1 MB', '24 GB']);
    expect([45, 84, 60, 3599, 3600, 90_000, -3].map(formatDuration)).toEqual([
      '45 s',
      '1 min 24 s',
      '1 min',
      '1 h 0 min',
      '1 h 0 min',
      '1 d 1 h',
      '0 s',
    ]);
    expect([2.3149, 0.001234, 12_345, Number.POSITIVE_INFINITY].map(formatLoss)).toEqual([
      '2.31',
      '0.00123',
      '12300',
      '–',
    ]);
  });

  it('tell times as one says them, in the person’s language', () => {
    expect(formatAgo(NOW - 5 * 60_000, NOW, 'en')).toBe('5 min. ago');
    expect(formatAgo(NOW - 24 * 3_600_000, NOW, 'zh-CN')).toBe('昨天');
    expect(formatAgo(NOW - 10_000, NOW, 'en')).toBe('now');
  });
});

it('shows the newest samples first, with the weights they come from', () => {
  const sample = (step: number, text: string) =>
    ({ type: 'generation', step, prompt: 'Once', text, weights: `sha256:${step}` }) as const;
  const page = samplesPage(run.id, [sample(10, 'old'), sample(20, 'new'), sample(20, 'newer')]);
  expect(page.indexOf('Step 20 · sha256:20')).toBe(0);
  expect(page.indexOf('newer')).toBeLessThan(page.indexOf('Step 10'));
  expect(samplesPage(run.id, [])).toContain('generation.prompts');
});
