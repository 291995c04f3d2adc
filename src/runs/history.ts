/** What a run's events add up to. Knows nothing of where they come from. */
import type {
  CheckpointEvent,
  EndEvent,
  EvalEvent,
  GenerationEvent,
  RunEvent,
  StartEvent,
  WarningEvent,
} from '@protocol/events';
import { GrowingColumns } from './columns';
import { RankTimes } from './rankTimes';
import type { Timed } from './runs';

export class RunHistory {
  readonly log = new GrowingColumns();
  readonly ranks = new RankTimes();
  skippedSteps = 0;
  readonly evals: Timed<EvalEvent>[] = [];
  readonly checkpoints: Timed<CheckpointEvent>[] = [];
  readonly warnings: Timed<WarningEvent>[] = [];
  readonly generations: Timed<GenerationEvent>[] = [];
  start: Timed<StartEvent> | undefined;
  end: Timed<EndEvent> | undefined;
  lastSeq = 0;
  /** Seconds of training before the last start, and when that was. */
  #before = 0;
  #began = 0;
  #lastTime = 0;

  /**
   * Takes the next event. One that was taken already is passed over.
   * @returns from which row on the log is new where rows were taken back; `gap` where events are missing before this one
   */
  add(event: RunEvent): { rewritten?: number } | 'gap' {
    if (event.seq <= this.lastSeq) return {};
    if (event.seq !== this.lastSeq + 1) return 'gap';
    this.lastSeq = event.seq;
    const time = Date.parse(event.time);
    const taken = this.#take(event, time);
    this.#lastTime = time;
    return taken;
  }

  /** Events are missing where they come from: goes on behind the hole. */
  skipTo(seq: number): void {
    this.lastSeq = seq - 1;
  }

  #take(event: RunEvent, time: number): { rewritten?: number } {
    switch (event.type) {
      case 'start':
        return this.#begin(event, time);
      case 'log':
        this.ranks.add(event.rank_seconds);
        this.skippedSteps = event.skipped_steps ?? 0;
        this.log.add(event, time, this.#before + (time - this.#began) / 1000);
        break;
      case 'eval':
        this.evals.push(event);
        break;
      case 'checkpoint':
        this.checkpoints.push(event);
        for (const gone of event.removed) remove(this.checkpoints, ({ path }) => path === gone);
        break;
      case 'generation':
        this.generations.push(event);
        break;
      case 'warning':
        this.warnings.push(event);
        break;
      case 'end':
        this.end = event;
        break;
      case 'queued':
        break;
    }
    return {};
  }

  /** A run that goes on from an older checkpoint takes back what came behind it. */
  #begin(event: Timed<StartEvent>, time: number): { rewritten?: number } {
    if (this.start) this.#before += Math.max(0, this.#lastTime - this.#began) / 1000;
    this.#began = time;
    this.start = event;
    this.end = undefined;
    const rows = this.log.length;
    const left = this.log.cutBehind(event.step);
    for (const list of [this.evals, this.checkpoints, this.generations, this.warnings] as { step: number }[][]) {
      remove(list, ({ step }) => step > event.step);
    }
    return left < rows ? { rewritten: left } : {};
  }
}

function remove<T>(list: T[], isGone: (item: T) => boolean): void {
  for (let i = list.length - 1; i >= 0; i--) if (isGone(list[i]!)) list.splice(i, 1);
}
