/** How long a VM may run, and what Google is told of it. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';

/** Google's limits of maxRunDuration. */
const SHORTEST_RUN = 30;
const LONGEST_RUN = 120 * 86_400;

/**
 * What Google is given as its limit for a VM that is to run for so long: so much later that its end can be moved while it
 * runs, which Google's own limit cannot be.
 */
export function maxRunSeconds(seconds: number): number {
  return Math.min(LONGEST_RUN, seconds + Math.min(86_400, Math.max(3600, seconds)));
}

/** @throws `cloud_invalid` with the reason */
export function checkRunSeconds(seconds: number): void {
  if (seconds >= SHORTEST_RUN && seconds <= LONGEST_RUN) return;
  const sentence = l10n.t('A VM runs for 30 seconds to 120 days: choose a time in between.');
  throw new TuneyardError('cloud_invalid', sentence, { data: { reason: 'time' } });
}
