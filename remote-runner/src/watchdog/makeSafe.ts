/** Results brought to where the end of the VM does not reach them, as was chosen. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import type { ArtifactSafety } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import type { WatchedRun } from './lookAtRuns';
import type { OwnInstance } from './ownInstance';
import type { Safekeeping } from './safekeeping';

export type Safety =
  | { kind: 'safe' }
  /** They wait to be fetched. */
  | { kind: 'held'; reason: string; unsafe: number }
  /** Where it is not lasting it may work later. */
  | { kind: 'failed'; reason: string; unsafe: number; isLasting: boolean };

export interface MakeSafeOptions {
  artifacts: ArtifactSafety;
  /** All that have ended. */
  runs: readonly WatchedRun[];
  /** Where results are copied to, where that was chosen. */
  safekeeping: Safekeeping | undefined;
  own: OwnInstance;
  /** Name of the VM. */
  vm: string;
  labels: Record<string, string>;
  signal?: AbortSignal;
}

export async function makeSafe(options: MakeSafeOptions): Promise<Safety> {
  const { artifacts, runs, safekeeping, own, vm, labels, signal } = options;
  const unsafe = runs.filter((run) => run.has_results && !run.fetched);
  if (unsafe.length === 0) return { kind: 'safe' };
  try {
    if (artifacts.kind === 'bucket') for (const run of unsafe) await safekeeping?.keep(run, signal);
    if (artifacts.kind === 'snapshot') {
      // What is only in memory would be missing in it.
      await promisify(execFile)('sync');
      await own.snapshotBootDisk(snapshotName(vm, unsafe), labels, signal);
    }
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'cancelled') throw error;
    const where = artifacts.kind === 'bucket' ? `copied to gs://${artifacts.bucket}` : 'kept in a snapshot';
    const why = error instanceof Error ? error.message : String(error);
    const isLasting = error instanceof TuneyardError && error.code === 'cloud_permission';
    return { kind: 'failed', reason: `the results cannot be ${where}: ${why}`, unsafe: unsafe.length, isLasting };
  }
  if (artifacts.kind !== 'fetch') return { kind: 'safe' };
  const names = unsafe.map(({ id }) => id).join(', ');
  return {
    kind: 'held',
    reason: `the results of ${unsafe.length} run(s) are not fetched yet (${names})`,
    unsafe: unsafe.length,
  };
}

/** The same for each attempt to keep the same results, and another one for later ones. */
function snapshotName(vm: string, runs: readonly WatchedRun[]): string {
  const results = runs.map(({ id, updated }) => `${id} ${updated}\n`).sort();
  const hash = createHash('sha256').update(results.join('')).digest('hex');
  return `${vm.slice(0, 40)}-results-${hash.slice(0, 10)}`;
}
