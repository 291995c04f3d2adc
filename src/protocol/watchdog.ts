/**
 * What the program on a VM that ends it (`tuneyard watchdog`) and those who made the VM tell each other: settings as
 * metadata of the instance, findings as its guest attributes, and files in the VM's `~/.tuneyard`. It needs neither a
 * connection nor the machine that made the VM.
 */
import type { ArtifactSafety } from './cloud';

/** Metadata item that holds {@link WatchdogSettings} in JSON. A change is heeded at once. */
export const WATCHDOG_ITEM = 'tuneyard-watchdog';
/** Metadata item: when the VM is to end (ISO 8601), where that is before the cloud's own limit. Extending changes it. */
export const DELETE_AT_ITEM = 'tuneyard-delete-at';

export interface WatchdogSettings {
  /** Name of the VM: results are copied to `gs://BUCKET/VM/`. */
  vm: string;
  /** 0: never. */
  idle_minutes: number;
  idle_action: 'delete' | 'stop';
  end_after_last_run: boolean;
  artifacts: ArtifactSafety;
  /** Labels for what outlives the VM: snapshots. */
  labels: Record<string, string>;
  /** The VM may be taken away at any time: checkpoints are copied to the bucket while a run goes on. */
  spot: boolean;
  /** Runs that another VM left in the bucket: brought here, and gone on with. */
  resume?: { bucket: string; vm: string };
}

/** Guest attributes `tuneyard/…`, all of them text. */
export const GUEST_NAMESPACE = 'tuneyard';

/**
 * `waiting`: the runner is not installed yet. `busy`, `idle`: see `idle_seconds`. `saving`: results are made safe.
 * `stopping`, `deleting`: it ends now. `preempted`: the cloud takes it away. `held`: it would end, but may not; why is in
 * `reason`.
 */
export type WatchdogState = 'waiting' | 'busy' | 'idle' | 'saving' | 'stopping' | 'deleting' | 'preempted' | 'held';

export interface WatchdogReport {
  state: WatchdogState;
  idle_seconds: number;
  /** Runs that are running or queued; -1 where that cannot be told. */
  runs: number;
  /** Runs whose results would be lost with the VM, as found when it was about to end. */
  unsafe: number;
  /** Of the runner that watches. */
  version: string;
  /** A sentence: why it is in its state. */
  reason: string;
  /** When this was said: ISO 8601. */
  time: string;
}

/** In `~/.tuneyard`: the last report, and what it goes on with after a restart. */
export const WATCHDOG_FOLDER = 'watchdog';
export const WATCHDOG_STATUS_FILE = 'status.json';

/** In a run directory: {@link Fetched}, written by whoever brought its results to another machine. */
export const FETCHED_FILE = 'fetched.json';

export interface Fetched {
  /** ISO 8601. */
  time: string;
  /** Number of the last event when it was fetched: what came later is not fetched. */
  seq: number;
  /** What was fetched: a checkpoint's step, or the final model. */
  what: 'model' | 'run' | number;
}

/** Exit statuses of `tuneyard watchdog`, for the script that started it with the rights to do so. */
export const WATCHDOG_EXIT = { powerOff: 86, settled: 0 } as const;
