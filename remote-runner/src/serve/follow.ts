/** What a client is told without asking: the events of runs it follows, and how the runs stand. */
import { isDeepStrictEqual } from 'node:util';
import type { RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import { followEvents } from '../runs/eventLog';
import { RunList } from '../runs/store';

const MAX_BATCH = 500;
/** Events that come one by one wait this long for company. */
const BATCH_MS = 50;

/** Sends the events behind `after`, in order, many in one message, until the signal is aborted. */
export async function sendEvents(
  dir: string,
  after: number,
  send: (events: RunEvent[]) => void,
  signal: AbortSignal,
): Promise<void> {
  let batch: RunEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (batch.length > 0 && !signal.aborted) send(batch);
    batch = [];
  };
  for await (const event of followEvents(dir, after, signal)) {
    batch.push(event);
    if (batch.length >= MAX_BATCH) flush();
    else timer ??= setTimeout(flush, BATCH_MS);
  }
  flush();
}

const LOOK_MS = 500;

/** Tells of the runs whenever one came, went or changed; at most twice a second. */
export class RunWatcher {
  readonly #list = new RunList();
  #last: RunSummary[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<RunSummary[]> | undefined;
  #closed = false;

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
    if (!isDeepStrictEqual(before, runs)) {
      this.#last = runs;
      this.onChange(runs);
    }
    this.#timer = setTimeout(() => this.#watch(), LOOK_MS);
  }
}
