/** Activation: wiring only. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { registerCommands } from './commands';

export function activate(context: vscode.ExtensionContext): void {
  if (vscode.l10n.bundle) l10n.config({ contents: vscode.l10n.bundle });
  const log = vscode.window.createOutputChannel('Tuneyard', { log: true });
  context.subscriptions.push(log);
  registerCommands(context, log, { 'tuneyard.showOutput': () => log.show() });
}
