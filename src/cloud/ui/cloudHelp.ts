/** The button under an error of a cloud: the command or the page that mends it. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { type ErrorAction, showError } from '../../commands';
import type { Services } from '../../services';
import { chooseKeyFile } from './cloudSettings';

/** Does something with a cloud. What goes wrong is shown, with what helps. undefined where something went wrong. */
export async function withCloudHelp<T>(
  { log }: Pick<Services, 'log'>,
  task: () => Promise<T>,
  retry?: () => unknown,
): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    await showError(error, log, helpFor(error, retry));
    return undefined;
  }
}

function helpFor(error: unknown, retry: (() => unknown) | undefined): ErrorAction | undefined {
  if (!(error instanceof TuneyardError)) return undefined;
  const { url, command } = error.data;
  if (error.code === 'cloud_credentials') return signIn(typeof command === 'string' ? command : undefined, retry);
  if (typeof url === 'string' && url.startsWith('https://')) {
    return { title: l10n.t('Open the page'), run: () => vscode.env.openExternal(vscode.Uri.parse(url)) };
  }
  if (typeof command === 'string') return { title: l10n.t('Open in a terminal'), run: () => inTerminal(command) };
  return retry && { title: l10n.t('Try again'), run: retry };
}

/** Two ways, so that it is a question of its own. */
function signIn(command: string | undefined, retry: (() => unknown) | undefined): ErrorAction {
  const terminal = { label: l10n.t('Open in a terminal'), ...(command && { description: command }) };
  const keyFile = { label: l10n.t('Use a key file of a service account…') };
  const again = { label: l10n.t('Try again') };
  return {
    title: l10n.t('Sign in…'),
    run: async () => {
      const choices = [...(command ? [terminal] : []), keyFile, ...(retry ? [again] : [])];
      const chosen = await vscode.window.showQuickPick<{ label: string }>(choices, {
        title: l10n.t('Credentials for Google Cloud'),
      });
      if (chosen === terminal && command) inTerminal(command);
      if (chosen === again) await retry?.();
      if (chosen === keyFile && (await chooseKeyFile())) await retry?.();
    },
  };
}

/** Written, not run: the person presses Enter. */
function inTerminal(command: string): void {
  const terminal = vscode.window.createTerminal({ name: 'Google Cloud' });
  terminal.show();
  terminal.sendText(command, false);
}
