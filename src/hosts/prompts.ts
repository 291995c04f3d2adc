/** What a connection asks a person, asked in VS Code, one question at a time. Secrets are kept only on request. */
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { HostPrompts } from './host';
import { isQuiet } from './quietly';

type Ask<K extends keyof HostPrompts> = Parameters<HostPrompts[K]>[0];

/** What was kept for a question that does not say whether it was asked before, and is asked again so soon, was wrong. */
const SOON_MS = 10_000;

export class VsCodePrompts implements HostPrompts {
  /** An input box takes the place of another: the next question waits. */
  #turn: Promise<unknown> = Promise.resolve();
  /** When an answer was last given. */
  readonly #given = new Map<string, number>();

  constructor(private readonly secrets: vscode.SecretStorage) {}

  async trustHostKey({ host, algorithm, fingerprint }: Ask<'trustHostKey'>): Promise<boolean | undefined> {
    if (isQuiet()) return undefined;
    const trust = l10n.t('Trust and connect');
    const chosen = await this.#inTurn(() =>
      vscode.window.showWarningMessage(
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
      ),
    );
    return chosen === trust;
  }

  passphrase({ host, keyFile, retry }: Ask<'passphrase'>): Promise<string | undefined> {
    return this.#secret({
      key: `passphrase:${keyFile}`,
      title: l10n.t('Passphrase of {0}', keyFile),
      prompt: l10n.t('To connect to {0}.', host),
      retry,
    });
  }

  password({ host, user, retry }: Ask<'password'>): Promise<string | undefined> {
    return this.#secret({
      key: `password:${user}@${host}`,
      title: l10n.t('Password of {0} on {1}', user, host),
      prompt: '',
      retry,
    });
  }

  async answers({ host, name, instructions, prompts }: Ask<'answers'>): Promise<string[] | undefined> {
    const [only] = prompts;
    // Most servers ask for the password this way. A one-time code is asked for otherwise, and is not worth keeping.
    if (prompts.length === 1 && only && !only.echo && /passw/i.test(only.text)) {
      const key = `answer:${host}:${only.text.trim()}`;
      const answer = await this.#secret({
        key,
        title: l10n.t('Password for {0}', host),
        prompt: [name, instructions, only.text.trim()].filter(Boolean).join(' · '),
        retry: !isQuiet() && Date.now() - (this.#given.get(key) ?? 0) < SOON_MS,
      });
      this.#given.set(key, Date.now());
      return answer === undefined ? undefined : [answer];
    }
    if (isQuiet()) return undefined;
    return this.#inTurn(async () => {
      const answers: string[] = [];
      for (const { text, echo } of prompts) {
        const answer = await vscode.window.showInputBox({
          title: name ? `${host} · ${name}` : host,
          prompt: [instructions, text].filter(Boolean).join(' '),
          password: !echo,
          ignoreFocusOut: true,
        });
        if (answer === undefined) return undefined;
        answers.push(answer);
      }
      return answers;
    });
  }

  /** One that was kept and turned out wrong is forgotten. */
  async #secret(ask: { key: string; title: string; prompt: string; retry: boolean }): Promise<string | undefined> {
    const { key, retry } = ask;
    if (retry) await this.secrets.delete(key);
    const kept = retry ? undefined : await this.secrets.get(key);
    if (kept !== undefined) return kept;
    return isQuiet() ? undefined : this.#inTurn(() => this.#input(ask));
  }

  #input({ key, title, prompt, retry }: { key: string; title: string; prompt: string; retry: boolean }) {
    return new Promise<string | undefined>((resolve) => {
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
      const explain = () => {
        input.buttons = [keep ? keeping : remember];
        const kept = keep
          ? l10n.t('It will be kept in the system’s keychain')
          : l10n.t('Used once, unless you choose to keep it with the button above.');
        input.prompt = [prompt, kept].filter(Boolean).join(' ');
      };
      Object.assign(input, { title, password: true, ignoreFocusOut: true });
      explain();
      if (retry) input.validationMessage = l10n.t('That was not right; try again.');
      input.onDidTriggerButton(() => {
        keep = !keep;
        explain();
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

  #inTurn<T>(question: () => PromiseLike<T>): Promise<T> {
    const answer = this.#turn.then(question);
    this.#turn = answer.catch(() => undefined);
    return answer;
  }
}
