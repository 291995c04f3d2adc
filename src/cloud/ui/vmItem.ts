/** A VM as a row of the Hosts view. */
import type { VmView } from '@protocol/cloud';
import * as vscode from 'vscode';
import { vmDetails, vmLine } from './vmLine';
import { vmKey } from './vms';

export function vmItem(vm: VmView, now: number): vscode.TreeItem {
  const { TreeItemCollapsibleState } = vscode;
  const item = new vscode.TreeItem(
    `${vm.name} (GCE)`,
    vm.host ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.None,
  );
  // VS Code keeps a row as closed as it was when there was nothing below it.
  item.id = `vm ${vmKey(vm)}${vm.host ? ' host' : ''}`;
  item.description = vmLine(vm, now);
  item.iconPath = vmIcon(vm);
  item.contextValue = `vm.${contextOf(vm)}`;
  item.accessibilityInformation = { label: `${vm.name}, ${item.description}` };
  return item;
}

export function vmTooltip(vm: VmView, now: number): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown('**');
  text.appendText(vm.name);
  text.appendMarkdown('**\n\n');
  for (const [name, value] of vmDetails(vm, now, vscode.env.language)) {
    text.appendText(`${name}: ${value}`);
    text.appendMarkdown('  \n');
  }
  return text;
}

/** What can be done with it: its menu goes by this. */
function contextOf(vm: VmView): string {
  if (!vm.known) return 'elsewhere';
  if (vm.state === 'DELETING') return 'deleting';
  if (vm.stage && vm.stage !== 'ready') return 'busy';
  if (vm.state === 'RUNNING') return vm.host ? 'running' : 'busy';
  if (vm.state === 'TERMINATED') return vm.preempted ? 'preempted' : 'stopped';
  return 'busy';
}

function vmIcon(vm: VmView): vscode.ThemeIcon {
  const { ThemeIcon, ThemeColor } = vscode;
  if (!vm.known) return new ThemeIcon('question', new ThemeColor('list.warningForeground'));
  if (vm.problem) return new ThemeIcon('warning', new ThemeColor('list.warningForeground'));
  switch (contextOf(vm)) {
    case 'running':
      return new ThemeIcon('server-environment', new ThemeColor('testing.iconPassed'));
    case 'stopped':
      return new ThemeIcon('debug-pause');
    case 'preempted':
      return new ThemeIcon('debug-disconnect', new ThemeColor('list.warningForeground'));
    default:
      return new ThemeIcon('sync~spin');
  }
}
