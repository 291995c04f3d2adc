/**
 * The clock that a stand-in and its tests share: the wall's, faster, and moved on by tests. Times are milliseconds since
 * 1970: now = origin + (wall − origin) · speed + advanced.
 */
interface Alarm {
  due: number;
  ring: () => unknown;
}

export class StandInClock {
  readonly origin = Date.now();
  /** What tests have moved it on by. */
  advanced = 0;
  readonly #alarms = new Set<Alarm>();
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly speed = 1) {}

  readonly now = (): number => this.origin + (Date.now() - this.origin) * this.speed + this.advanced;

  /** As the product is given it: ends early where the signal is aborted, and then throws. */
  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const cancel = this.at(this.now() + ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      const abort = () => {
        cancel();
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
    });

  /** Calls back at that time; the function takes it back. */
  at(due: number, ring: () => unknown): () => void {
    const alarm = { due, ring };
    this.#alarms.add(alarm);
    this.#arm();
    return () => {
      this.#alarms.delete(alarm);
      this.#arm();
    };
  }

  /** Moves on, one alarm after the other, each at its own time. */
  async advance(ms: number): Promise<void> {
    const end = this.now() + ms;
    for (;;) {
      const next = this.#next();
      if (!next || next.due > end) break;
      this.advanced += Math.max(0, next.due - this.now());
      this.#alarms.delete(next);
      await next.ring();
      // What was waiting goes on, and may wait for something that is still before the end.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.advanced += Math.max(0, end - this.now());
    this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#alarms.clear();
  }

  #next(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) if (!first || alarm.due < first.due) first = alarm;
    return first;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#next();
    if (!next) return;
    const wait = Math.min(Math.max(0, (next.due - this.now()) / this.speed), 2 ** 30);
    this.#timer = setTimeout(() => {
      const now = this.now();
      for (const alarm of [...this.#alarms].filter(({ due }) => due <= now).sort((a, b) => a.due - b.due)) {
        if (this.#alarms.delete(alarm)) void alarm.ring();
      }
      this.#arm();
    }, wait);
    this.#timer.unref();
  }
}
