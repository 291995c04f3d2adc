/**
 * Commands: id → handler, and the one place where an error becomes a message to the user. A feature exports its
 * handlers as a {@link Commands} object; `extension.ts` registers them.
 */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';

/** Handlers take what VS Code passes: an argument of a menu or a link, or nothing from the palette. */
export type Commands = Record<`tuneyard.${string}`, (...args: never[]) => unknown>;

/** A button under an error message. */
export interface ErrorAction {
  title: string;
  run(): unknown;
}

/** Registers handlers; whatever one throws is shown, once. */
export function registerCommands(
  context: vscode.ExtensionContext,
  log: vscode.LogOutputChannel,
  commands: Commands,
): void {
  for (const [id, handler] of Object.entries(commands)) {
    const guarded = async (...args: unknown[]) => {
      try {
        return await (handler as (...args: unknown[]) => unknown)(...args);
      } catch (error) {
        await showError(error, log);
      }
    };
    context.subscriptions.push(vscode.commands.registerCommand(id, guarded));
  }
}

/** Shows what went wrong, with one button that helps. What a person cancelled is no error. */
export async function showError(error: unknown, log: vscode.LogOutputChannel, action?: ErrorAction): Promise<void> {
  if (error instanceof TuneyardError && error.code === 'cancelled') return;
  if (error instanceof vscode.CancellationError) return;
  const known = error instanceof TuneyardError;
  log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const message = known
    ? sentence(error.message)
    : l10n.t('Something went wrong that should not: {0}', error instanceof Error ? error.message : String(error));
  const showLog: ErrorAction = { title: l10n.t('Show log'), run: () => log.show() };
  const actions = action ? [action, showLog] : [showLog];
  const chosen = await vscode.window.showErrorMessage(message, ...actions.map(({ title }) => title));
  await actions.find(({ title }) => title === chosen)?.run();
}

/** Catalogue messages begin in lower case behind a place; alone they are a sentence. */
function sentence(text: string): string {
  const first = text.charAt(0).toLocaleUpperCase();
  return /^[a-z][^\s]*[/.:]/.test(text) ? text : first + text.slice(1);
}
