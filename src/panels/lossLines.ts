/** One followed run, ready to be drawn: any range of it, as finely as a chart is wide. */
import type { LossAxis, LossLine, LossLineName, LossMark, LossRun, LossView } from '@protocol/panels';
import type { Disposable } from 'vscode-jsonrpc';
import type { FollowedRun, LogColumns } from '../runs/runs';
import { Extremes } from './extremes';
import { MovingAverage } from './movingAverage';
import { firstAtLeast, valueAt } from './ordered';

const X_COLUMN = { step: 'step', time: 'seconds', tokens: 'tokens_seen' } as const satisfies Record<
  LossAxis,
  keyof LogColumns
>;

const SMALL = [
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory_bytes',
  'gpu_bytes',
  'gpu_utilization',
] as const satisfies readonly LossLineName[];

/** Marks nearer to each other than this many pixels become one. */
const MARK_PIXELS = 8;
/** Notes of marks that fell together: more than these are only counted. */
const MOST_NOTES = 4;

type Drawn = Pick<LossRun, 'extent' | 'rows' | 'lines' | 'evals' | 'marks'>;

export interface MarkTexts {
  checkpoint(step: number, best: boolean): string;
  warning(step: number, message: string): string;
  more(count: number): string;
}

export class LossLines implements Disposable {
  private readonly extremes = new Map<LossLineName, Extremes>();
  private readonly smooth = new MovingAverage();
  private span = 0;
  private readonly subscription: Disposable;

  constructor(private readonly run: FollowedRun) {
    this.subscription = run.onDidChange(({ rewritten }) => {
      if (rewritten === undefined) return;
      for (const one of this.extremes.values()) one.truncate(rewritten);
      this.smooth.truncate(rewritten);
    });
  }

  dispose(): void {
    this.subscription.dispose();
  }

  draw(view: LossView, span: number, texts: MarkTexts): Drawn {
    const { log } = this.run;
    const xs = log[X_COLUMN[view.x]];
    const [from, to] = rowsOf(xs, log.length, view);
    if (span !== this.span) this.extremes.delete('smooth');
    this.span = span;
    this.smooth.extend(log.loss, log.length, span);
    const line = (name: LossLineName, column: Float64Array, bins: number): LossLine => {
      const extremes = this.extremes.get(name) ?? new Extremes();
      this.extremes.set(name, extremes);
      extremes.extend(column, log.length);
      return pick(xs, column, extremes.rows(column, from, to, bins));
    };
    const lines: Partial<Record<LossLineName, LossLine>> = {};
    lines.loss = line('loss', log.loss, view.width);
    lines.smooth = line('smooth', this.smooth.values, Math.ceil(view.width / 2));
    for (const name of SMALL) {
      const small = line(name, log[name], view.smallWidth);
      if (small.y.some((y) => y !== null)) lines[name] = small;
    }
    const extent = extentOf(xs, log.length);
    return {
      ...(extent && { extent }),
      rows: log.length,
      lines,
      evals: this.evals(view),
      marks: this.marks(view, texts),
    };
  }

  private evals(view: LossView): LossRun['evals'] {
    const evals = this.run.evals.flatMap(({ step, eval_loss, best }) => {
      const x = this.place(step, view);
      return x === undefined || !Number.isFinite(eval_loss) ? [] : [{ x, y: eval_loss, step, best }];
    });
    // A later best one takes the mark from the earlier.
    const best = evals.findLastIndex((item) => item.best);
    const marked = evals.map((item, i) => ({ ...item, best: i === best }));
    if (marked.length <= 2 * view.width) return marked;
    const column = Float64Array.from(marked, ({ y }) => y);
    const extremes = new Extremes();
    extremes.extend(column, column.length);
    return extremes.rows(column, 0, column.length, view.width).map((row) => marked[row]!);
  }

  private marks(view: LossView, texts: MarkTexts): LossMark[] {
    const best = this.run.evals.findLast((item) => item.best)?.step;
    const checkpoints = this.run.checkpoints.map(({ step }) => ({
      kind: 'checkpoint' as const,
      step,
      note: texts.checkpoint(step, step === best),
    }));
    const warnings = this.run.warnings.map(({ step, message }) => ({
      kind: 'warning' as const,
      step,
      note: texts.warning(step, message),
    }));
    return [...this.joined(checkpoints, view, texts), ...this.joined(warnings, view, texts)];
  }

  private joined(
    items: readonly { kind: LossMark['kind']; step: number; note: string }[],
    view: LossView,
    texts: MarkTexts,
  ): LossMark[] {
    const { log } = this.run;
    const extent = extentOf(log[X_COLUMN[view.x]], log.length) ?? [0, 1];
    const range = (view.to ?? extent[1]) - (view.from ?? extent[0]);
    const near = (range * MARK_PIXELS) / view.width;
    const found: { mark: LossMark; count: number }[] = [];
    for (const { kind, step, note } of items) {
      const x = this.place(step, view);
      if (x === undefined) continue;
      const last = found.at(-1);
      if (last && x - last.mark.x < near) {
        last.count++;
        if (last.count <= MOST_NOTES) last.mark.notes.push(note);
        continue;
      }
      const y = valueAt(step, log.step, this.smooth.values, log.length) ?? this.run.evals.at(-1)?.eval_loss;
      if (y === undefined || !Number.isFinite(y)) continue;
      found.push({ mark: { kind, x, y, notes: [note] }, count: 1 });
    }
    return found.map(({ mark, count }) =>
      count > MOST_NOTES ? { ...mark, notes: [...mark.notes, texts.more(count - MOST_NOTES)] } : mark,
    );
  }

  /** Where a step stands on the view's axis; undefined outside of its range. */
  private place(step: number, view: LossView): number | undefined {
    const { log } = this.run;
    // A run stands at zero seconds and tokens before its first step, so nothing need be known of it.
    const x = view.x === 'step' ? step : valueAt(step, log.step, log[X_COLUMN[view.x]], log.length);
    if (x === undefined || x < (view.from ?? Number.NEGATIVE_INFINITY) || x > (view.to ?? Number.POSITIVE_INFINITY))
      return undefined;
    return x;
  }
}

/** The rows of a range, and one more at each side: lines go on to the edge. */
function rowsOf(xs: Float64Array, length: number, { from, to }: LossView): [number, number] {
  const first = from === undefined ? 0 : Math.max(0, firstAtLeast(xs, length, from) - 1);
  const last = to === undefined ? length : Math.min(length, firstAtLeast(xs, length, to) + 1);
  return [first, last];
}

function pick(xs: Float64Array, ys: Float64Array, rows: readonly number[]): LossLine {
  const x: number[] = [];
  const y: (number | null)[] = [];
  for (const row of rows) {
    if (Number.isNaN(xs[row])) continue;
    x.push(xs[row]!);
    y.push(Number.isFinite(ys[row]) ? ys[row]! : null);
  }
  return { x, y };
}

function extentOf(xs: Float64Array, length: number): [number, number] | undefined {
  let first = 0;
  while (first < length && Number.isNaN(xs[first])) first++;
  let last = length - 1;
  while (last > first && Number.isNaN(xs[last])) last--;
  return first < length ? [xs[first]!, xs[last]!] : undefined;
}
