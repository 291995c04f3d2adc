/** A run's model, or one of its checkpoints, as a folder of this machine that other tools read. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withProgress } from '../recipes/withProgress';
import type { Runner } from '../runner/runner';
import { formatBytes } from '../ui/format';
import { runName } from './describe';
import { downloadModel } from './exportModel';
import { freeFolder, openFolder } from './folders';
import type { HostRun } from './runs';

/** @param checkpoint step of the one that is meant; else what there is to choose from is asked */
export async function exportRun(runner: Runner, run: HostRun, checkpoint: number | undefined): Promise<void> {
  const files = await runner.peer.request('runs/files', { run: run.id });
  const choices = [
    ...(files.model_path === undefined
      ? []
      : [{ step: undefined, label: l10n.t('Final model'), path: files.model_path }]),
    ...files.checkpoints.map(({ step, path, bytes, best }) => ({
      step,
      label: l10n.t('Checkpoint of step {0}', step),
      description: [best ? `★ ${l10n.t('best')}` : '', formatBytes(bytes)].filter(Boolean).join(' · '),
      path,
    })),
  ];
  if (choices.length === 0) {
    throw new TuneyardError('usage', l10n.t('{0} has no model and no checkpoint to export.', runName(run.id)));
  }
  const title = l10n.t('Export {0}', runName(run.id));
  const named =
    choices.length === 1 ? choices[0] : choices.find(({ step }) => step !== undefined && step === checkpoint);
  const chosen = named ?? (await vscode.window.showQuickPick(choices, { title }));
  if (!chosen) return;
  const [parent] =
    (await vscode.window.showOpenDialog({
      title,
      canSelectFolders: true,
      canSelectFiles: false,
      openLabel: l10n.t('Export here'),
    })) ?? [];
  if (!parent) return;
  const to = await freeFolder(parent.fsPath, runName(run.id));
  const bytes = await withProgress(title, (report, signal) =>
    downloadModel(runner, chosen.path, to, { signal, report }),
  );
  // A VM that waits for it may go.
  await runner.peer.request('runs/fetched', { run: run.id, what: chosen.step ?? 'model' }).catch(() => {});
  const open = l10n.t('Open folder');
  const answer = await vscode.window.showInformationMessage(
    l10n.t('{0} exported to {1} ({2}).', runName(run.id), to, formatBytes(bytes)),
    open,
  );
  if (answer === open) await openFolder(to);
}
