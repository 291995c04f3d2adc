/** When a VM may end: a pure function of what was seen and of what was asked for. */
import type { WatchdogSettings } from '@protocol/watchdog';

export interface Seen {
  /** Milliseconds since 1970. */
  now: number;
  /** Runs that are running or queued. */
  live: number;
  /** A sentence's part: what is being done, or cannot be told. Absent: nothing is. */
  busy: string | undefined;
  /** Since when nothing has been done. */
  idleSince: number;
  /** A run was seen to be there on this VM, and no longer is. */
  hadRuns: boolean;
  /** When it has to end, where that was said. */
  deleteAt: number | undefined;
}

export type Decision =
  | { kind: 'stay' }
  /** `deadline`: whatever goes on is brought to its end. */
  | { kind: 'end'; why: 'idle' | 'last run' | 'deadline'; action: 'delete' | 'stop' };

/** Runs that end at the deadline need this long to write a checkpoint. */
const LEAD_MS = 120_000;
/** A queue that a client fills has gaps; and who finds that the last run failed at once mends it, and begins again. */
const AFTER_LAST_RUN_MS = 5 * 60_000;

export function decide(seen: Seen, settings: WatchdogSettings): Decision {
  const { now, deleteAt, idleSince } = seen;
  if (deleteAt !== undefined && now >= deleteAt - LEAD_MS) return { kind: 'end', why: 'deadline', action: 'delete' };
  if (seen.busy !== undefined || seen.live > 0) return { kind: 'stay' };
  const { idle_action: action, idle_minutes, end_after_last_run } = settings;
  const idleMs = now - idleSince;
  if (end_after_last_run && seen.hadRuns && idleMs >= AFTER_LAST_RUN_MS) {
    return { kind: 'end', why: 'last run', action };
  }
  if (idle_minutes > 0 && idleMs >= idle_minutes * 60_000) return { kind: 'end', why: 'idle', action };
  return { kind: 'stay' };
}
