/** One run that somebody follows; several may. */
import type { RunEvent } from '@protocol/events';
import { type Disposable, Emitter } from 'vscode-jsonrpc';
import type { Runners } from '../runner/runner';
import type { EventMirror } from './eventMirror';
import { RunHistory } from './history';
import { type FollowedRun, type RunRef, runKey } from './runs';

/** At most four changes a second are told. */
const CHANGE_MS = 250;

export interface SharedRunOptions {
  mirror: EventMirror;
  /** With a way to keep a host's runner open. */
  runners: Pick<Runners, 'current'> & { keepAlive(hostId: string): Disposable };
  log(text: string): void;
  onClose(): void;
}

export class SharedRun {
  readonly #history = new RunHistory();
  readonly #changed = new Emitter<{ rewritten?: number }>();
  readonly #loaded: Promise<void>;
  readonly #hold: Disposable;
  #asking: Promise<void> | undefined;
  /** Events were asked for behind this one and others came: the run's own file has a hole there. */
  #askedBehind: number | undefined;
  #followers = 0;
  #rewritten: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    readonly ref: RunRef,
    private readonly options: SharedRunOptions,
  ) {
    this.#hold = options.runners.keepAlive(ref.host);
    this.#loaded = this.#load();
    void this.ask();
  }

  join(): FollowedRun {
    this.#followers++;
    let isOpen = true;
    const history = this.#history;
    return {
      ref: this.ref,
      get log() {
        return history.log;
      },
      get evals() {
        return history.evals;
      },
      get checkpoints() {
        return history.checkpoints;
      },
      get warnings() {
        return history.warnings;
      },
      get generations() {
        return history.generations;
      },
      get skippedSteps() {
        return history.skippedSteps;
      },
      get rankSeconds() {
        return history.ranks.means;
      },
      get start() {
        return history.start;
      },
      get end() {
        return history.end;
      },
      get lastSeq() {
        return history.lastSeq;
      },
      onDidChange: this.#changed.event,
      dispose: () => {
        if (!isOpen) return;
        isOpen = false;
        if (--this.#followers === 0) this.close();
      },
    };
  }

  /** Asks the runner, where one is open, for all that is missing. */
  ask(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  take(events: readonly RunEvent[]): void {
    const fresh: RunEvent[] = [];
    for (const event of events) {
      const before = this.#history.lastSeq;
      let taken = this.#history.add(event);
      if (taken === 'gap') {
        // What was sent before the runner heard the question does not count.
        if (this.#asking) break;
        if (this.#askedBehind !== before) {
          void this.ask();
          break;
        }
        this.options.log(`${runKey(this.ref)}: events ${before + 1} to ${event.seq - 1} are missing on the host`);
        this.#history.skipTo(event.seq);
        taken = this.#history.add(event);
      }
      if (this.#history.lastSeq > before) fresh.push(event);
      if (taken !== 'gap') this.#note(taken.rewritten);
    }
    if (fresh.length === 0) return;
    this.options.mirror.append(this.ref, fresh);
    this.#tell();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#hold.dispose();
    this.#changed.dispose();
    this.options.onClose();
    const { host, run } = this.ref;
    const runner = this.options.runners.current(host);
    runner?.peer.request('runs/unfollow', { run }).catch(() => undefined);
  }

  async #load(): Promise<void> {
    for await (const events of this.options.mirror.read(this.ref)) {
      for (const event of events) {
        const taken = this.#history.add(event);
        if (taken !== 'gap') this.#note(taken.rewritten);
      }
      if (events.length > 0) this.#tell();
    }
  }

  async #ask(): Promise<void> {
    const { runners, log } = this.options;
    await this.#loaded.catch((error: unknown) => log(`The copy of ${runKey(this.ref)} cannot be read: ${error}`));
    const runner = runners.current(this.ref.host);
    if (!runner || this.#closed) return;
    const after = this.#history.lastSeq;
    try {
      await runner.peer.request('runs/follow', { run: this.ref.run, after });
      this.#askedBehind = after;
    } catch (error) {
      log(`${runKey(this.ref)}: ${error instanceof Error ? error.message : error}`);
    }
  }

  #note(rewritten: number | undefined): void {
    if (rewritten !== undefined) this.#rewritten = Math.min(this.#rewritten ?? Infinity, rewritten);
  }

  #tell(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const rewritten = this.#rewritten;
      this.#rewritten = undefined;
      this.#changed.fire(rewritten === undefined ? {} : { rewritten });
    }, CHANGE_MS);
  }
}
