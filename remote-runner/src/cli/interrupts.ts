/** Ctrl-C and its like: the first asks a command to end well, the second ends it at once. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
type Signal = (typeof SIGNALS)[number];

/** npm passes a Ctrl-C on to a program that the terminal has sent it to already: one keypress, two signals. */
const SAME_KEYPRESS_MS = 300;

export interface Interrupts {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Back to what signals did before. */
  dispose(): void;
}

export interface InterruptHandlers {
  first?(signal: Signal): void;
  /** Called before the process exits with 128 + the signal's number. Must not wait for anything. */
  second?(signal: Signal): void;
}

export function listenForInterrupts({ first, second }: InterruptHandlers = {}): Interrupts {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const listener = (signal: Signal) => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      first?.(signal);
      controller.abort();
    } else if (now - firstAt > SAME_KEYPRESS_MS) {
      second?.(signal);
      process.exit(128 + constants.signals[signal]);
    }
  };
  for (const name of SIGNALS) process.on(name, listener);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of SIGNALS) process.off(name, listener);
    },
  };
}
