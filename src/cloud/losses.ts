/** What is on a VM that goes with it: runs that still train, and results that are nowhere else. */
import { setTimeout as delay } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import type { RunSummary } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import { throwIfAborted } from '../hosts/limits';
import type { OnProgress } from '../runner/installContext';
import type { Runner } from '../runner/runner';
import { downloadModel } from '../runs/exportModel';

export interface Losses {
  training: RunSummary[];
  /** With a model or a checkpoint that was not fetched; those that train may be among them. */
  unfetched: Unfetched[];
}

export interface Unfetched {
  run: RunSummary;
  /** On the VM. */
  path: string;
  what: 'model' | number;
}

/** A step, and the writing of a checkpoint. */
const STOP_MS = 15 * 60_000;
const LOOK_MS = 500;

const isAlive = ({ state }: RunSummary): boolean => state === 'running' || state === 'queued';

export async function lossesOn({ peer }: Runner, signal?: AbortSignal): Promise<Losses> {
  const runs = await peer.request('runs/list', {}, signal);
  const unfetched: Unfetched[] = [];
  for (const run of runs.filter(({ fetched }) => !fetched)) {
    const { model_path, checkpoints } = await peer.request('runs/files', { run: run.id }, signal);
    const last = checkpoints.at(-1);
    if (model_path !== undefined) unfetched.push({ run, path: model_path, what: 'model' });
    else if (last) unfetched.push({ run, path: last.path, what: last.step });
  }
  return { training: runs.filter(isAlive), unfetched };
}

export interface FetchOptions {
  /** A folder that is not there yet. */
  folderFor(run: RunSummary): Promise<string>;
  report: OnProgress;
  signal: AbortSignal;
}

/**
 * Stops what trains, with a checkpoint: a run at work replaces its checkpoints while they are fetched, and what it does
 * afterwards would be lost. Then fetches one result after the other, each checked.
 *
 * @returns the folders
 */
export async function fetchAll(runner: Runner, { folderFor, report, signal }: FetchOptions): Promise<string[]> {
  await stopAll(runner, report, signal);
  const { unfetched } = await lossesOn(runner, signal);
  const folders: string[] = [];
  for (const [index, { run, path, what }] of unfetched.entries()) {
    const to = await folderFor(run);
    const where = unfetched.length > 1 ? l10n.t(' ({0} of {1})', index + 1, unfetched.length) : '';
    await downloadModel(runner, path, to, {
      signal,
      report: (stage, fraction) => report(`${stage}${where}`, fraction),
    });
    await runner.peer.request('runs/fetched', { run: run.id, what }, signal);
    folders.push(to);
  }
  return folders;
}

async function stopAll({ peer, host }: Runner, report: OnProgress, signal: AbortSignal): Promise<void> {
  const alive = async () => (await peer.request('runs/list', {}, signal)).filter(isAlive);
  const limit = Date.now() + STOP_MS;
  for (let runs = await alive(); runs.length > 0; runs = await alive()) {
    report(l10n.t('Stopping what trains, with a checkpoint'));
    // One that waited for another has begun meanwhile: it is told now.
    for (const { id, stopping } of runs) if (!stopping) await peer.request('runs/stop', { run: id }, signal);
    if (Date.now() > limit) {
      throw new TuneyardError(
        'timed_out',
        l10n.t(
          'What trains on {0} did not stop within {1} minutes; end it, or try again.',
          host.label,
          STOP_MS / 60_000,
        ),
      );
    }
    await delay(LOOK_MS, undefined, { signal }).catch(() => {});
    throwIfAborted(signal);
  }
}
