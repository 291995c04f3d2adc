/** The runs that a loss panel shows, and the frames it draws of them. Knows nothing of VS Code. */
import type { LossFrame, LossView, PanelRun } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { type Disposable, Emitter } from 'vscode-jsonrpc';
import type { Host } from '../hosts/host';
import type { Hosts } from '../hosts/hosts';
import { runName } from '../runs/describe';
import { type FollowedRun, type RunRef, type Runs, runKey } from '../runs/runs';
import { lossCsv } from './lossCsv';
import { LossLines, type MarkTexts } from './lossLines';
import { lossStatus } from './lossStatus';
import { defaultSpan } from './movingAverage';

/** A page is told of changes at most so often. */
const FRAME_MS = 250;

interface Shown {
  followed: FollowedRun;
  lines: LossLines;
  subscription: Disposable;
}

export class LossModel implements Disposable {
  private readonly shown = new Map<string, Shown>();
  private readonly frames = new Emitter<LossFrame>();
  private readonly changes = new Emitter<void>();
  private readonly subscriptions: Disposable[];
  private view: LossView | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawnAt = 0;

  /** For the view asked for last, when something changed. */
  readonly onDidDraw = this.frames.event;
  /** Other runs are shown. */
  readonly onDidChangeRuns = this.changes.event;

  constructor(
    private readonly sources: { runs: Runs; hosts: Hosts },
    runs: readonly RunRef[] = [],
  ) {
    const changed = () => this.schedule();
    this.subscriptions = [sources.runs.onDidChange(changed), sources.hosts.onDidChange(changed)];
    for (const run of runs) this.add(run);
  }

  get runs(): PanelRun[] {
    return [...this.shown.values()].map(({ followed }) => ({ host: followed.ref.host, run: followed.ref.run }));
  }

  add(ref: RunRef): void {
    if (this.shown.has(runKey(ref))) return;
    const followed = this.sources.runs.follow({ host: ref.host, run: ref.run });
    const lines = new LossLines(followed);
    const subscription = followed.onDidChange(() => this.schedule());
    this.shown.set(runKey(ref), { followed, lines, subscription });
    this.changedRuns();
  }

  remove(ref: RunRef): void {
    const shown = this.shown.get(runKey(ref));
    if (!shown) return;
    this.shown.delete(runKey(ref));
    close(shown);
    this.changedRuns();
  }

  /** Shows these and no others. */
  set(refs: readonly RunRef[]): void {
    const wanted = new Set(refs.map(runKey));
    for (const run of this.runs) if (!wanted.has(runKey(run))) this.remove(run);
    for (const ref of refs) this.add(ref);
  }

  /** The frame of a view, which from now on is the one that is kept up to date. */
  draw(view: LossView): LossFrame {
    this.view = view;
    return this.frame(view);
  }

  /** Nobody looks any more. */
  pause(): void {
    this.view = undefined;
  }

  /** Every point of every run, in pieces. */
  csv(): Generator<string> {
    return lossCsv([...this.shown.values()].map(({ followed }) => followed));
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
    for (const shown of this.shown.values()) close(shown);
    this.shown.clear();
    this.frames.dispose();
    this.changes.dispose();
  }

  private frame(view: LossView): LossFrame {
    this.drawnAt = performance.now();
    const { runs, hosts } = this.sources;
    const shown = [...this.shown.values()];
    const smoothing =
      view.smoothing ?? defaultSpan(Math.max(0, ...shown.map(({ followed }) => expectedRows(followed))));
    const several = new Set(shown.map(({ followed }) => followed.ref.host)).size > 1;
    const names = shown.map(({ followed }) => runName(followed.ref.run));
    return {
      view: view.id,
      smoothing,
      runs: shown.map(({ followed, lines }) => {
        const { ref } = followed;
        const host: Host | undefined = hosts.get(ref.host);
        const run = runs.get(ref);
        const name = runName(ref.run);
        const label = names.indexOf(name) === names.lastIndexOf(name) ? name : ref.run;
        return {
          host: ref.host,
          run: ref.run,
          label: several ? `${label} · ${host?.label ?? ref.host}` : label,
          status: lossStatus(followed, run, host),
          loading: followed.lastSeq === 0 && run !== undefined && run.step > 0,
          ...lines.draw(view, smoothing, markTexts()),
        };
      }),
    };
  }

  private changedRuns(): void {
    this.changes.fire();
    this.schedule();
  }

  private schedule(): void {
    if (this.timer !== undefined || !this.view) return;
    const wait = Math.max(0, this.drawnAt + FRAME_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.view) this.frames.fire(this.frame(this.view));
    }, wait);
  }
}

/** Log events when the run will be done. */
function expectedRows({ log, start }: FollowedRun): number {
  const step = log.step[log.length - 1];
  return step && start && start.total_steps > step ? (log.length * start.total_steps) / step : log.length;
}

function close({ followed, lines, subscription }: Shown): void {
  lines.dispose();
  subscription.dispose();
  followed.dispose();
}

function markTexts(): MarkTexts {
  return {
    checkpoint: (step, best) =>
      best ? l10n.t('Checkpoint at step {0}, the best', step) : l10n.t('Checkpoint at step {0}', step),
    warning: (step, message) => l10n.t('Step {0}: {1}', step, message),
    more: (count) => l10n.t('… and {0} more', count),
  };
}
