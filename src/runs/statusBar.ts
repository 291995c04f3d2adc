/** The run at work, at the bottom of the window: loss, step, time left; a click opens its chart. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { formatDuration, formatLoss } from '../ui/format';
import { runDetails, runName } from './describe';

export function showRunningRun({ runs, runners }: Services): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('tuneyard.run', vscode.StatusBarAlignment.Left, 10);
  item.name = l10n.t('Tuneyard run');
  const update = () => {
    const alive = runs
      .list()
      .filter(({ host, state }) => (state === 'running' || state === 'queued') && runners.current(host));
    const run = alive.find(({ state }) => state === 'running') ?? alive[0];
    if (!run) {
      item.hide();
      return;
    }
    const parts =
      run.state === 'queued'
        ? [l10n.t('{0} waits', runName(run.id))]
        : [
            run.last_loss === undefined ? runName(run.id) : l10n.t('loss {0}', formatLoss(run.last_loss)),
            run.total_steps > 0 ? `${run.step}/${run.total_steps}` : l10n.t('starting'),
            ...(run.stopping ? [l10n.t('stopping')] : []),
            ...(run.seconds_left === undefined || run.stopping ? [] : [formatDuration(run.seconds_left)]),
          ];
    const more = alive.length > 1 ? ` (+${alive.length - 1})` : '';
    item.text = `${run.state === 'queued' ? '$(watch)' : '$(sync~spin)'} ${parts.join(' · ')}${more}`;
    const tooltip = new vscode.MarkdownString();
    tooltip.appendText(`${runName(run.id)}\n`);
    for (const [name, value] of runDetails(run, Date.now(), vscode.env.language)) {
      tooltip.appendText(`${name}: ${value}`);
      tooltip.appendMarkdown('  \n');
    }
    item.tooltip = tooltip;
    item.accessibilityInformation = { label: `${runName(run.id)}: ${parts.join(', ')}` };
    item.command = {
      command: 'tuneyard.showLoss',
      title: l10n.t('Loss chart'),
      arguments: [{ host: run.host, run: run.id }],
    };
    item.show();
  };
  const subscription = runs.onDidChange(update);
  update();
  return vscode.Disposable.from(item, { dispose: () => subscription.dispose() });
}
