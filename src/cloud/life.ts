/** What the parts of a VM's life share: the cloud, the record, the clock, and whom to tell. */
import { setTimeout as delay } from 'node:timers/promises';
import type { VmStage } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { InstallSettings } from '../runner/installContext';
import type { PriceTable } from './gce/prices';
import type { TunnelCommand } from './keys';
import type { Ledger } from './ledger';
import type { CloudProvider } from './provider';
import type { VmRecord } from './vmRecord';

export interface Life {
  provider: CloudProvider;
  ledger: Ledger;
  /** Milliseconds since 1970. */
  now(): number;
  /** Waits on the same clock. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  log(text: string): void;
  /** Of this version of Tuneyard. */
  version: string;
  /** Account on a VM. */
  user: string;
  /** Default 22. */
  sshPort?: number;
  tunnel?: TunnelCommand;
  prices?: PriceTable;
  /** What is put on a VM. Absent: nothing is. */
  runner?: { folder: string; cache: string; settings(): InstallSettings };
  /** Writes it, and tells those who show it. */
  save(record: VmRecord): Promise<void>;
  tell(record: VmRecord, stage: VmStage, text: string): void;
}

/** Begins a stage: in the record, and for those who watch. */
export async function enter(life: Life, record: VmRecord, stage: VmStage, text: string): Promise<void> {
  record.stage = stage;
  record.stage_since = life.now();
  await life.save(record);
  life.tell(record, stage, text);
}

export interface Patience {
  /** In all. */
  ms: number;
  everyMs: number;
  signal?: AbortSignal;
  /** The sentence for `timed_out`. */
  sentence(): string;
}

/** Looks until there is something. Failures in between that may pass count as nothing. */
export async function until<T>(life: Life, look: () => Promise<T | undefined>, patience: Patience): Promise<T> {
  const limit = life.now() + patience.ms;
  let last: TuneyardError | undefined;
  for (;;) {
    patience.signal?.throwIfAborted();
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      if (!mayPass(error)) throw error;
      last = error;
      life.log(error.message);
    }
    if (life.now() >= limit) {
      const why = last ? ` ${last.message}` : '';
      throw new TuneyardError('timed_out', `${patience.sentence()}${why}`, { cause: last });
    }
    await life.sleep(patience.everyMs, patience.signal);
  }
}

/** What the next look may not meet again. A VM that boots refuses connections, then users that it has not made yet. */
function mayPass(error: unknown): error is TuneyardError {
  if (!(error instanceof TuneyardError)) return false;
  if (['connection_failed', 'connection_lost', 'timed_out', 'auth_failed'].includes(error.code)) return true;
  return error.code === 'cloud_failed';
}

/** As a failure that has a sentence. */
export function asFailure(error: unknown): TuneyardError {
  if (error instanceof TuneyardError) return error;
  if (error instanceof Error && error.name === 'AbortError')
    return new TuneyardError('cancelled', l10n.t('Cancelled.'));
  const message = error instanceof Error ? error.message : String(error);
  return new TuneyardError('internal', l10n.t('This should not have happened: {0}.', message), { cause: error });
}

export const realSleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await delay(ms, undefined, { ...(signal && { signal }) }).catch(() => {});
  signal?.throwIfAborted();
};
