import { TuneyardError } from '@protocol/errors';

/**
 * Stops a long call between two of its pieces.
 * @throws TuneyardError `cancelled` once the signal is aborted
 */
export function throwIfCancelled(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new TuneyardError('cancelled', `${what} was stopped on request.`);
}
