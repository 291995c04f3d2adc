/** How a run stands, found out anew at little cost: only events that were appended since are read. */
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EndEvent, RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import { FETCHED_FILE, type Fetched } from '@protocol/watchdog';
import { EventReader } from './eventLog';
import { EVENTS_FILE, RECIPE_FILE } from './runDir';
import { isStopping, lockHolder } from './runLock';

const SETTLED_MS = 5000;

export class RunFigures {
  readonly #dir: string;
  /** As it stood when nobody held its lock, and when its folder had last changed then. */
  #settled: { summary: RunSummary; changed: number } | undefined;
  readonly #events: EventReader;
  #run: RunSummary | undefined;
  #end: EndEvent | undefined;
  #isQueued = false;
  #pace: number | undefined;

  /** @param dir a run directory */
  constructor(dir: string) {
    this.#dir = dir;
    this.#events = new EventReader(join(dir, EVENTS_FILE), 0);
  }

  /** Step of the best evaluation so far. */
  bestStep: number | undefined;
  /** Number of the last event so far. */
  lastSeq = 0;

  /**
   * As {@link refresh}, at the cost of one look at the folder where the run is over: whoever goes on with it, or ends
   * it, makes a lock file there first.
   */
  async refreshIfChanged(): Promise<RunSummary> {
    if (this.#settled && (await stat(this.#dir)).mtimeMs === this.#settled.changed) return this.#settled.summary;
    return this.refresh();
  }

  /** It is `running` (or `queued`) while a process holds its lock. */
  async refresh(): Promise<RunSummary> {
    const { mtimeMs } = await stat(this.#dir);
    // The lock before the events: a run that ends in between then counts as running, not as crashed.
    const isHeld = (await lockHolder(this.#dir)) !== undefined;
    this.#run ??= await this.#begin();
    const run = this.#run;
    try {
      for await (const event of this.#events.rest()) this.#add(run, event);
    } catch {
      // It has no events yet, or none that may be read: what is known of it is still worth a line.
    }
    const { message, seconds_left, ...known } = run;
    const end = this.#end;
    const pace = this.#pace;
    const isQueued = isHeld && this.#isQueued;
    const isRunning = isHeld && !isQueued;
    const stopping = isHeld && (await isStopping(this.#dir));
    const fetched = !isHeld && (await fetchedSeq(this.#dir)) >= this.lastSeq;
    const summary: RunSummary = {
      ...known,
      state: isQueued ? 'queued' : isRunning ? 'running' : (end?.status ?? 'crashed'),
      ...(stopping && { stopping }),
      ...(isRunning && pace !== undefined && { seconds_left: Math.max(0, run.total_steps - run.step) * pace }),
      ...(!isHeld && end?.message !== undefined && { message: end.message }),
      ...(fetched && { fetched }),
    };
    // Two changes within one tick of the file system's clock look like one.
    const isOld = mtimeMs < Date.now() - SETTLED_MS;
    this.#settled = !isHeld && isOld ? { summary, changed: mtimeMs } : undefined;
    return summary;
  }

  async #begin(): Promise<RunSummary> {
    const { birthtimeMs, mtimeMs } = await stat(this.#dir);
    // Not every file system knows when a folder was made.
    const made = new Date(birthtimeMs || mtimeMs).toISOString();
    return {
      id: basename(this.#dir),
      dir: this.#dir,
      state: 'crashed',
      started: made,
      updated: made,
      ...(await recipeFacts(this.#dir)),
      step: 0,
      total_steps: 0,
    };
  }

  #add(run: RunSummary, event: RunEvent): void {
    this.lastSeq = event.seq;
    if (event.seq === 1) run.started = event.time;
    run.updated = event.time;
    if (event.type !== 'warning' && event.type !== 'queued') run.step = event.step;
    this.#isQueued = event.type === 'queued';
    switch (event.type) {
      case 'start':
        this.#end = undefined;
        run.total_steps = event.total_steps;
        run.model = event.model;
        run.method = event.method;
        run.device = event.device;
        break;
      case 'log':
        this.#pace = event.step_seconds;
        run.last_loss = event.loss;
        break;
      case 'eval':
        run.first_eval_loss ??= event.eval_loss;
        run.eval_loss = event.eval_loss;
        if (event.eval_accuracy !== undefined) run.eval_accuracy = event.eval_accuracy;
        if (event.best) this.bestStep = event.step;
        break;
      case 'end':
        this.#end = event;
        if (event.best_step !== undefined) this.bestStep = event.best_step;
        if (event.model_path !== undefined) run.model_path = event.model_path;
        break;
    }
  }
}

/** Number of the last event of what was fetched; -1 where nothing was. */
async function fetchedSeq(dir: string): Promise<number> {
  try {
    const { seq } = JSON.parse(await readFile(join(dir, FETCHED_FILE), 'utf8')) as Partial<Fetched>;
    return typeof seq === 'number' ? seq : -1;
  } catch {
    return -1;
  }
}

/** What a run that has not begun yet, or failed before, is about. */
async function recipeFacts(dir: string): Promise<Partial<RunSummary>> {
  try {
    const recipe: unknown = JSON.parse(await readFile(join(dir, RECIPE_FILE), 'utf8'));
    if (typeof recipe !== 'object' || recipe === null) return {};
    return {
      ...('model' in recipe && typeof recipe.model === 'string' && { model: recipe.model }),
      ...('method' in recipe && typeof recipe.method === 'string' && { method: recipe.method }),
    };
  } catch {
    return {};
  }
}
