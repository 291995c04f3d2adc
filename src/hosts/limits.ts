/** What ends a call early: somebody cancels, the connection goes, time is up. Whatever the work does, the call settles. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';

export interface Limits {
  signals?: readonly (AbortSignal | undefined)[];
  timeoutMs?: number;
  /** The sentence for `timed_out`; required where there is a limit. */
  timeout?: () => string;
}

/** Settles as the work does, or rejects as soon as a limit is reached: with what the signal says, or with `timed_out`. */
export function within<T>(work: Promise<T>, { signals = [], timeoutMs, timeout }: Limits): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const undo: (() => void)[] = [];
    const settle = (act: () => void) => {
      for (const each of undo) each();
      act();
    };
    for (const signal of signals) {
      if (signal === undefined) continue;
      const abort = () => settle(() => reject(reasonOf(signal)));
      if (signal.aborted) {
        work.catch(() => {});
        abort();
        return;
      }
      signal.addEventListener('abort', abort, { once: true });
      undo.push(() => signal.removeEventListener('abort', abort));
    }
    if (timeoutMs !== undefined) {
      const timer = setTimeout(
        () => settle(() => reject(new TuneyardError('timed_out', timeout?.() ?? ''))),
        timeoutMs,
      );
      undo.push(() => clearTimeout(timer));
    }
    work.then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
  });
}

/** Why a signal was aborted: our own error where it is one, else `cancelled`. */
export function reasonOf(signal: AbortSignal): TuneyardError {
  return signal.reason instanceof TuneyardError ? signal.reason : cancelled();
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw reasonOf(signal);
}

export function cancelled(): TuneyardError {
  return new TuneyardError('cancelled', l10n.t('Cancelled.'));
}

/** Seconds for a sentence. */
export function inSeconds(milliseconds: number): string {
  return String(Math.max(1, Math.round(milliseconds / 1000)));
}

/** Calls the listener once the signal aborts, at once where it has; gives back how to stop listening. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    listener();
    return () => {};
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
