/** What a connection asks a person, asked in VS Code. Secrets are kept only where the person says so. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { HostPrompts } from './host';

export class VsCodePrompts implements HostPrompts {
  /** Hosts that are being connected to without the person having asked: nothing pops up for them. */
  readonly #quiet = new Map<string, number>();

  constructor(private readonly secrets: vscode.SecretStorage) {}

  /** Runs `work` without questions for a host; only what is remembered is answered. */
  async quietly<T>(host: string, work: () => Promise<T>): Promise<T> {
    this.#quiet.set(host, (this.#quiet.get(host) ?? 0) + 1);
    try {
      return await work();
    } finally {
      this.#quiet.set(host, this.#quiet.get(host)! - 1);
    }
  }

  async trustHostKey({
    host,
    algorithm,
    fingerprint,
  }: Parameters<HostPrompts['trustHostKey']>[0]): Promise<boolean | undefined> {
    if (this.#isQuiet(host)) return undefined;
    const trust = l10n.t('Trust and connect');
    const chosen = await vscode.window.showWarningMessage(
      l10n.t('{0} is not known yet. Is this its key?', host),
      {
        modal: true,
        detail: l10n.t(
          '{0}\n{1}\n\nCompare it with what the machine’s owner says. It is then kept in known_hosts.',
          algorithm,
          fingerprint,
        ),
      },
      trust,
    );
    return chosen === trust;
  }

  passphrase({ host, keyFile, retry }: Parameters<HostPrompts['passphrase']>[0]): Promise<string | undefined> {
    return this.#secret(`passphrase:${keyFile}`, host, retry, l10n.t('Passphrase of {0}', keyFile));
  }

  password({ host, user, retry }: Parameters<HostPrompts['password']>[0]): Promise<string | undefined> {
    return this.#secret(`password:${user}@${host}`, host, retry, l10n.t('Password of {0} on {1}', user, host));
  }

  async answers({
    host,
    name,
    instructions,
    prompts,
  }: Parameters<HostPrompts['answers']>[0]): Promise<string[] | undefined> {
    if (this.#isQuiet(host)) return undefined;
    const answers: string[] = [];
    for (const { text, echo } of prompts) {
      const answer = await vscode.window.showInputBox({
        title: name || host,
        prompt: [instructions, text].filter(Boolean).join(' '),
        password: !echo,
        ignoreFocusOut: true,
      });
      if (answer === undefined) return undefined;
      answers.push(answer);
    }
    return answers;
  }

  /** One that was kept and turned out wrong is forgotten. */
  async #secret(key: string, host: string, retry: boolean, title: string): Promise<string | undefined> {
    if (retry) await this.secrets.delete(key);
    const kept = retry ? undefined : await this.secrets.get(key);
    if (kept !== undefined) return kept;
    if (this.#isQuiet(host)) return undefined;
    return new Promise((resolve) => {
      const input = vscode.window.createInputBox();
      const remember: vscode.QuickInputButton = {
        iconPath: new vscode.ThemeIcon('save'),
        tooltip: l10n.t('Keep it in the system’s keychain'),
      };
      const keeping: vscode.QuickInputButton = {
        iconPath: new vscode.ThemeIcon('check'),
        tooltip: l10n.t('It will be kept in the system’s keychain'),
      };
      let keep = false;
      Object.assign(input, { title, password: true, ignoreFocusOut: true, buttons: [remember] });
      input.prompt = l10n.t('Used once, unless you choose to keep it with the button above.');
      if (retry) input.validationMessage = l10n.t('That was not right; try again.');
      input.onDidTriggerButton(() => {
        keep = !keep;
        input.buttons = [keep ? keeping : remember];
      });
      input.onDidChangeValue(() => {
        input.validationMessage = undefined;
      });
      input.onDidAccept(async () => {
        const { value } = input;
        resolve(value);
        input.hide();
        if (keep) await this.secrets.store(key, value);
      });
      input.onDidHide(() => {
        resolve(undefined);
        input.dispose();
      });
      input.show();
    });
  }

  #isQuiet(host: string): boolean {
    return (this.#quiet.get(host) ?? 0) > 0;
  }
}
