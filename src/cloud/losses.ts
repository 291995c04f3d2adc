/** What is on a VM that goes with it: runs that still train, and results that are nowhere else. */
import type { RunSummary } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import type { OnProgress, Runner } from '../runner/runner';
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

/** One after the other, each checked. @returns the folders */
export async function fetchAll(
  runner: Runner,
  unfetched: readonly Unfetched[],
  { folderFor, report, signal }: FetchOptions,
): Promise<string[]> {
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
