/** What a client is told without asking: the events of runs it follows, and how the runs stand. */
import { isDeepStrictEqual } from 'node:util';
import type { RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import { followEvents } from '../runs/eventLog';
import { RunList } from '../runs/store';

const MAX_BATCH = 500;
/** Events that come one by one wait this long for company. */
const BATCH_MS = 50;

/**
 * Sends the events behind `after`, in order, many in one message, until the signal is aborted.
 * @param send settles when the wire has taken them. No more is read until then: a long run's events over a slow wire
 *   would fill the memory, and all other answers would come behind them.
 */
export async function sendEvents(
  dir: string,
  after: number,
  send: (events: RunEvent[]) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let batch: RunEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending = Promise.resolve();
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (batch.length > 0 && !signal.aborted) sending = send(batch);
    batch = [];
  };
  for await (const event of followEvents(dir, after, signal)) {
    batch.push(event);
    if (batch.length >= MAX_BATCH) {
      await sending;
      flush();
    } else timer ??= setTimeout(flush, BATCH_MS);
  }
  flush();
}

const LOOK_MS = 500;
/** The whole list goes over the wire: the longer it is, the more seldom for a step more of a run. */
const PAUSE_MS_PER_RUN = 4;

/** Tells of the runs whenever one came, went or changed; at most twice a second. */
export class RunWatcher {
  readonly #list = new RunList();
  #last: RunSummary[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<RunSummary[]> | undefined;
  #closed = false;
  /** When a change of figures alone is worth telling again. */
  #figuresAt = 0;

  constructor(private readonly onChange: (runs: RunSummary[]) => void) {}

  /** The runs as they are now. From the first call on changes are told. */
  async list(): Promise<RunSummary[]> {
    this.#timer ??= setTimeout(() => this.#watch(), LOOK_MS);
    // One look at a time: figures are read on from where the last one ended.
    this.#looking ??= this.#list.refresh().finally(() => {
      this.#looking = undefined;
    });
    const runs = await this.#looking;
    this.#last ??= runs;
    return runs;
  }

  dispose(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #watch(): Promise<void> {
    const before = this.#last;
    const runs = await this.list();
    if (this.#closed) return;
    const now = performance.now();
    if (!isDeepStrictEqual(before, runs) && (now >= this.#figuresAt || states(before) !== states(runs))) {
      this.#last = runs;
      this.#figuresAt = now + runs.length * PAUSE_MS_PER_RUN;
      this.onChange(runs);
    }
    this.#timer = setTimeout(() => this.#watch(), LOOK_MS);
  }
}

function states(runs: readonly RunSummary[] | undefined): string | undefined {
  return runs?.map(({ id, state, stopping }) => `${id} ${state} ${stopping ?? false}`).join('\n');
}
