/** A run that ends says so, once among all windows, with what one does next. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { formatLoss } from '../ui/format';
import { runName } from './describe';
import { type HostRun, runKey } from './runs';
import { isAlive } from './store';

/** A window that nobody looks at leaves it to the one that somebody looks at. */
const OTHERS_FIRST_MS = 1000;

export function announceEnds({ runs }: Services): vscode.Disposable {
  const alive = new Set<string>();
  const subscription = runs.onDidChange(() => {
    for (const run of runs.list()) {
      const key = runKey({ host: run.host, run: run.id });
      if (isAlive(run)) alive.add(key);
      else if (alive.delete(key)) void announce(run);
    }
  });
  const announce = async (run: HostRun) => {
    if (!vscode.window.state.focused) await new Promise((resolve) => setTimeout(resolve, OTHERS_FIRST_MS));
    if (await runs.claimEnd(run)) await show(run);
  };
  return { dispose: () => subscription.dispose() };
}

interface Action extends vscode.MessageItem {
  command: string;
}

async function show(run: HostRun): Promise<void> {
  const chosen = await message(run);
  if (chosen) await vscode.commands.executeCommand(chosen.command, { host: run.host, run: run.id });
}

function message(run: HostRun): Thenable<Action | undefined> {
  const name = runName(run.id);
  const compare: Action = { title: l10n.t('Compare texts'), command: 'tuneyard.compare' };
  const resume: Action = { title: l10n.t('Resume'), command: 'tuneyard.run.resume' };
  const showLog: Action = { title: l10n.t('Show log'), command: 'tuneyard.run.showLog' };
  const { showInformationMessage, showErrorMessage } = vscode.window;
  switch (run.state) {
    case 'completed': {
      const loss = run.eval_loss ?? run.last_loss;
      const text =
        loss === undefined ? l10n.t('{0} is done.', name) : l10n.t('{0} is done: loss {1}.', name, formatLoss(loss));
      return showInformationMessage(text, compare, { title: l10n.t('Export'), command: 'tuneyard.run.export' });
    }
    case 'stopped':
      return showInformationMessage(l10n.t('{0} stopped at step {1}.', name, run.step), resume, compare);
    case 'failed':
      return showErrorMessage(l10n.t('{0} failed: {1}', name, run.message ?? ''), showLog);
    default:
      return showErrorMessage(
        l10n.t('{0} ended without a word at step {1}; the machine may have run out of memory.', name, run.step),
        resume,
        showLog,
      );
  }
}
