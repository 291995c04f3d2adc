/** A run that ends while this window is open says so, once, with what one does next. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { formatLoss } from '../ui/format';
import { runName } from './describe';
import { type HostRun, runKey } from './runs';

export function announceEnds({ runs }: Services): vscode.Disposable {
  const before = new Map<string, HostRun['state']>();
  const subscription = runs.onDidChange(() => {
    for (const run of runs.list()) {
      const key = runKey({ host: run.host, run: run.id });
      const was = before.get(key);
      before.set(key, run.state);
      if (was === 'running' && run.state !== 'running' && run.state !== 'queued') void announce(run);
    }
  });
  return { dispose: () => subscription.dispose() };
}

async function announce(run: HostRun): Promise<void> {
  const name = runName(run.id);
  const item = { host: run.host, run: run.id };
  const act = (title: string, command: string) => ({ title, command });
  const showLog = act(l10n.t('Show log'), 'tuneyard.run.showLog');
  const chosen = await (() => {
    switch (run.state) {
      case 'completed': {
        const loss = run.eval_loss ?? run.last_loss;
        const text =
          loss === undefined ? l10n.t('{0} is done.', name) : l10n.t('{0} is done: loss {1}.', name, formatLoss(loss));
        return vscode.window.showInformationMessage(
          text,
          act(l10n.t('Compare texts'), 'tuneyard.compare'),
          act(l10n.t('Export'), 'tuneyard.run.export'),
        );
      }
      case 'stopped':
        return vscode.window.showInformationMessage(
          l10n.t('{0} stopped at step {1}.', name, run.step),
          act(l10n.t('Resume'), 'tuneyard.run.resume'),
          act(l10n.t('Compare texts'), 'tuneyard.compare'),
        );
      case 'failed':
        return vscode.window.showErrorMessage(l10n.t('{0} failed: {1}', name, run.message ?? ''), showLog);
      default:
        return vscode.window.showErrorMessage(
          l10n.t('{0} ended without a word at step {1}; the machine may have run out of memory.', name, run.step),
          act(l10n.t('Resume'), 'tuneyard.run.resume'),
          showLog,
        );
    }
  })();
  if (chosen) await vscode.commands.executeCommand(chosen.command, item);
}
