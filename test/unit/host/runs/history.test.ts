/** What a run's events add up to: the numbers of every chart. */
import { RunHistory } from '@host/runs/history';
import type { RunEvent, RunEventBody } from '@protocol/events';
import { describe, expect, it } from 'vitest';

const START = Date.parse('2026-11-22T12:00:00Z');

/** Events numbered from 1, a second apart unless a time is given. */
function events(...bodies: (Partial<RunEventBody> & { type: RunEventBody['type']; at?: number })[]): RunEvent[] {
  return bodies.map(
    ({ at, ...body }, i) =>
      ({ step: 0, ...body, seq: i + 1, time: new Date(START + 1000 * (at ?? i)).toISOString() }) as unknown as RunEvent,
  );
}

function historyOf(...of: Parameters<typeof events>): RunHistory {
  const history = new RunHistory();
  for (const event of events(...of)) history.add(event);
  return history;
}

const steps = ({ log }: RunHistory) => [...log.step.subarray(0, log.length)];

describe('the history of a run', () => {
  it('takes each event once and none too early', () => {
    const history = new RunHistory();
    const all = events({ type: 'start' }, { type: 'log', step: 1, loss: 3 }, { type: 'log', step: 2, loss: 2 });
    expect(history.add(all[1]!)).toBe('gap');
    for (const event of [all[0]!, all[1]!, all[1]!, all[0]!, all[2]!]) expect(history.add(event)).not.toBe('gap');
    expect(steps(history)).toEqual([1, 2]);
    expect(history.lastSeq).toBe(3);
  });

  it('draws what was no number as nothing, not as zero', () => {
    const gpus = [
      { index: 0, used_bytes: 2e9, utilization: 0.5 },
      { index: 1, used_bytes: 1e9, utilization: 1 },
    ];
    const { log } = historyOf(
      { type: 'start' },
      { type: 'log', step: 1, loss: null as never, grad_norm: null as never },
      { type: 'log', step: 2, loss: 2, gpus },
    );
    expect([...log.loss.subarray(0, 2)]).toEqual([Number.NaN, 2]);
    expect([...log.gpu_bytes.subarray(0, 2)]).toEqual([Number.NaN, 3e9]);
    expect(log.gpu_utilization[1]).toBe(0.75);
  });

  it('takes back what lies behind the checkpoint that a run goes on from', () => {
    const path = (step: number) => `/runs/x/checkpoints/step-${step}`;
    const history = new RunHistory();
    const all = events(
      { type: 'start', at: 0 },
      { type: 'log', step: 10, at: 10 },
      { type: 'checkpoint', step: 10, path: path(10), removed: [], at: 10 },
      { type: 'log', step: 20, at: 20 },
      { type: 'eval', step: 20, at: 20 },
      { type: 'checkpoint', step: 20, path: path(20), removed: [], at: 20 },
      { type: 'warning', step: 30, at: 30 },
      { type: 'log', step: 30, at: 30 },
      { type: 'end', status: 'stopped', step: 30, at: 30 },
      { type: 'start', step: 10, at: 1000 },
      { type: 'log', step: 20, at: 1010 },
    );
    const taken = all.map((event) => history.add(event));
    expect(taken[9]).toEqual({ rewritten: 1 });
    expect(taken.filter((each) => each !== 'gap' && each.rewritten === undefined)).toHaveLength(10);
    expect(steps(history)).toEqual([10, 20]);
    expect(history.checkpoints.map(({ step }) => step)).toEqual([10]);
    expect([history.evals, history.warnings]).toEqual([[], []]);
    expect(history.end).toBeUndefined();
    // The pause is left out: 30 s before it, 10 s after.
    expect([...history.log.seconds.subarray(0, 2)]).toEqual([10, 40]);
  });

  it('forgets checkpoints that were removed', () => {
    const history = historyOf(
      { type: 'start' },
      { type: 'checkpoint', step: 1, path: '/a', removed: [] },
      { type: 'checkpoint', step: 2, path: '/b', removed: ['/a'] },
    );
    expect(history.checkpoints.map(({ path }) => path)).toEqual(['/b']);
  });

  it('holds a million rows', () => {
    const history = new RunHistory();
    const time = new Date(START).toISOString();
    for (let seq = 1; seq <= 1_000_000; seq++) {
      history.add({ type: 'log', seq, time, step: seq, loss: 1 / seq } as unknown as RunEvent);
    }
    expect(history.log.length).toBe(1_000_000);
    expect(history.log.step[999_999]).toBe(1_000_000);
    expect(history.log.loss[499_999]).toBe(1 / 500_000);
  });
});
