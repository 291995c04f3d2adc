/** A VM that runs and trains nothing, at the bottom of the window, with what it costs. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { isAlive } from '../../runs/store';
import type { Services } from '../../services';
import { vmTooltip } from './vmItem';
import { formatMoney, vmLine } from './vmLine';

const EVERY_MS = 10_000;

export function showIdleVms({ vms, runs }: Services): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('tuneyard.vm', vscode.StatusBarAlignment.Left, 9);
  item.name = l10n.t('Tuneyard VM');
  item.command = 'tuneyard.hosts.focus';
  let timer: NodeJS.Timeout | undefined;
  const update = () => {
    const idle = vms
      .list()
      .filter(({ state, host, known }) => known && state === 'RUNNING' && !(host && runs.list(host).some(isAlive)));
    const [first] = idle;
    clearInterval(timer);
    timer = undefined;
    if (!first) {
      item.hide();
      return;
    }
    timer = setInterval(update, EVERY_MS);
    const cost = first.cost ? l10n.t('{0} so far', formatMoney(first.cost.usd)) : l10n.t('price not known');
    item.text = `$(server-environment) ${first.name} · ${cost}${idle.length > 1 ? ` (+${idle.length - 1})` : ''}`;
    item.tooltip = vmTooltip(first, Date.now());
    item.accessibilityInformation = { label: `${first.name}: ${vmLine(first, Date.now())}` };
    item.show();
  };
  const subscriptions = [vms.onDidChange(update), runs.onDidChange(update)];
  update();
  return {
    dispose: () => {
      clearInterval(timer);
      item.dispose();
      for (const each of subscriptions) each.dispose();
    },
  };
}
