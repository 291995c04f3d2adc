import { LossModel } from '@host/panels/lossModel';
import type { LossFrame, LossView } from '@protocol/panels';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ColumnRun, ColumnRuns, noHosts, trainedRun } from '../../webview/support/columnRuns';

const view = (part: Partial<LossView> = {}): LossView => ({ id: 1, x: 'step', width: 200, smallWidth: 100, ...part });
const ref = (run: string) => ({ host: 'local', run });

const models: LossModel[] = [];
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  for (const model of models.splice(0)) model.dispose();
  vi.useRealTimers();
});

function modelOf(...runs: ColumnRun[]): LossModel {
  const model = new LossModel(
    { runs: new ColumnRuns(...runs), hosts: noHosts },
    runs.map((run) => run.ref),
  );
  models.push(model);
  return model;
}

const drawOne = (run: ColumnRun, part: Partial<LossView> = {}) => modelOf(run).draw(view(part)).runs[0]!;

describe('a frame of the loss panel', () => {
  it('shows the range that was zoomed to in more detail, and goes on to its edges', () => {
    const run = trainedRun(ref('a'), 100_000);
    const all = drawOne(run);
    const zoomed = drawOne(run, { from: 50_000.5, to: 50_300.5 });
    const inRange = (x: number[]) => x.filter((at) => at > 50_000.5 && at < 50_300.5).length;
    expect(inRange(all.lines.loss!.x)).toBeLessThan(5);
    expect(inRange(zoomed.lines.loss!.x)).toBe(300);
    expect(zoomed.lines.loss!.x[0]).toBe(50_000);
    expect(zoomed.lines.loss!.x.at(-1)).toBe(50_301);
    expect(zoomed.extent).toEqual([1, 100_000]);
  });

  it.each([
    ['step', 400],
    ['time', 320],
    ['tokens', 409_600],
  ] as const)('lays runs over one another by %s', (x, last) => {
    expect(drawOne(trainedRun(ref('a'), 400), { x }).extent![1]).toBeCloseTo(last);
  });

  it('stands evaluations, checkpoints and warnings where they happened, on every axis', () => {
    const run = trainedRun(ref('a'), 400);
    const byTime = drawOne(run, { x: 'time' });
    expect(byTime.evals.map(({ x }) => Math.round(x))).toEqual([64, 128, 192, 256, 320]);
    const [checkpoint] = byTime.marks.filter(({ kind }) => kind === 'checkpoint');
    expect(checkpoint).toMatchObject({ x: 64, notes: ['Checkpoint at step 80'] });
    expect(byTime.marks.find(({ kind }) => kind === 'warning')!.notes[0]).toContain(
      'Step 120: the data cannot keep up',
    );
    expect(byTime.evals.filter(({ best }) => best)).toHaveLength(1);
  });

  it('joins marks that would lie on one another, and says how many there are', () => {
    const run = trainedRun(ref('a'), 400);
    run.warnings = Array.from({ length: 9 }, (_, i) => ({
      ...run.warnings[0]!,
      step: 100 + i,
      message: `number ${i}`,
    }));
    const [first, ...rest] = drawOne(run).marks.filter(({ kind }) => kind === 'warning');
    expect(rest).toEqual([]);
    expect(first!.notes).toHaveLength(5);
    expect(first!.notes.at(-1)).toBe('… and 5 more');
  });

  it('leaves out quantities that the machine does not have, and breaks lines where a loss was not finite', () => {
    const run = new ColumnRun(ref('a'), 10);
    for (let step = 1; step <= 3; step++) run.push({ step, seconds: step, loss: step === 2 ? Number.NaN : step });
    const { lines } = drawOne(run);
    expect(lines.loss!.y).toEqual([1, null, 3]);
    expect(lines.gpu_bytes).toBeUndefined();
    expect(lines.grad_norm).toBeUndefined();
  });

  it('takes rows back after a resume from an older checkpoint', () => {
    const run = trainedRun(ref('a'), 1000);
    const model = modelOf(run);
    model.draw(view());
    run.rewind(500);
    for (let step = 501; step <= 520; step++) run.push({ step, seconds: step, loss: 9 });
    run.changed();
    const { lines, rows } = model.draw(view()).runs[0]!;
    expect(rows).toBe(520);
    expect(lines.loss!.y.at(-1)).toBe(9);
    expect(Math.max(...lines.loss!.x)).toBe(520);
    expect(lines.smooth!.y.at(-1)).toBeGreaterThan(4);
  });

  it('draws a run without any value, of a host that is gone', () => {
    const run = new ColumnRun(ref('a'), 1);
    run.summary = undefined;
    const drawn = drawOne(run);
    expect(drawn).toMatchObject({ rows: 0, evals: [], marks: [], status: { state: 'unknown', actions: [] } });
    expect(drawn.status.message).toMatch(/no longer among the hosts/);
    expect(drawn.extent).toBeUndefined();
  });
});

describe('how a run stands', () => {
  it('says step, loss, pace and time left while it runs', () => {
    const { status } = drawOne(trainedRun(ref('a'), 400));
    expect(status).toMatchObject({ state: 'running', step: 400, total_steps: 800, actions: ['stop'] });
    expect(status.steps_per_second).toBeCloseTo(1.25);
    expect(status.seconds_left).toBeCloseTo(320);
  });

  it.each([
    ['completed', ['compare', 'export']],
    ['stopped', ['resume', 'compare']],
    ['failed', ['showLog', 'resume']],
  ] as const)('offers what helps when it %s', (state, actions) => {
    const run = trainedRun(ref('a'), 40);
    run.summary = { ...run.summary!, state };
    run.end = {
      type: 'end',
      seq: 99,
      time: '',
      status: state,
      step: 40,
      runtime: 1,
      ...(state === 'failed' && { message: 'out of memory' }),
    };
    const { status } = drawOne(run);
    expect(status.actions).toEqual(actions);
    expect(status.seconds_left).toBeUndefined();
    expect(status.message).toBe(state === 'failed' ? 'out of memory' : undefined);
  });

  it('does not call a run ended that was resumed', () => {
    const run = trainedRun(ref('a'), 40);
    run.end = { type: 'end', seq: 99, time: '', status: 'stopped', step: 40, runtime: 1 };
    expect(drawOne(run).status.state).toBe('running');
  });
});

describe('while a run goes on', () => {
  it('tells the page at most four times a second, and misses nothing at the end', () => {
    const run = trainedRun(ref('a'), 10, { capacity: 400 });
    const model = modelOf(run);
    const frames: LossFrame[] = [];
    model.onDidDraw((frame) => frames.push(frame));
    model.draw(view({ id: 7 }));
    for (let i = 0; i < 100; i++) {
      run.push({ step: 11 + i, seconds: 11 + i, loss: 2 });
      run.changed();
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(1000);
    expect(frames.length).toBeGreaterThanOrEqual(4);
    expect(frames.length).toBeLessThanOrEqual(5);
    expect(frames.at(-1)).toMatchObject({ view: 7, runs: [{ rows: 110 }] });
  });

  it('draws nothing for a page that nobody sees', () => {
    const run = trainedRun(ref('a'), 10, { capacity: 20 });
    const model = modelOf(run);
    const frames: LossFrame[] = [];
    model.onDidDraw((frame) => frames.push(frame));
    model.draw(view());
    model.pause();
    run.changed();
    vi.advanceTimersByTime(5000);
    expect(frames).toEqual([]);
  });

  it('lets go of runs that are no longer shown', () => {
    const [a, b] = [trainedRun(ref('a'), 10), trainedRun(ref('b'), 10)];
    const model = modelOf(a, b);
    model.set([b.ref]);
    expect([a.followers, b.followers]).toEqual([0, 1]);
    model.dispose();
    expect(b.followers).toBe(0);
  });
});

describe('the table of all values', () => {
  it('holds every point, not only those that are drawn, and evaluations at their steps', () => {
    const run = trainedRun(ref('a,"b"'), 10_000);
    run.evals.push({ ...run.evals[0]!, step: 10_500, eval_loss: 1.5 });
    const [header, ...rows] = [...modelOf(run).csv()].join('').trimEnd().split('\r\n');
    expect(header!.split(',')).toEqual(expect.arrayContaining(['run', 'step', 'loss', 'eval_loss', 'gpu_utilization']));
    expect(rows).toHaveLength(10_001);
    const step2000 = rows[1999]!;
    expect(step2000.startsWith('"local/a,""b""",2000,2026-11-23T')).toBe(true);
    expect(step2000.endsWith(`,${run.evals[0]!.eval_loss}`)).toBe(true);
    expect(rows.at(-1)).toMatch(/^"local\/a,""b""",10500,2026-11-23T05:00:00.000Z,+1.5$/);
    const quoted = '"local/a,""b"""'.length;
    const cells = rows.map((row) => row.slice(quoted).split(',').length);
    expect(new Set(cells)).toEqual(new Set([header!.split(',').length]));
  });
});
