/** Logging in: the methods one after the other, as ssh has them, until the server is content or nothing is left. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AnyAuthMethod, AuthenticationType, Prompt } from 'ssh2';
import { cancelled } from '../limits';
import { type Ask, asAgent, type Identity, identitiesOf } from './identities';
import type { Ssh2 } from './ssh2';

const ATTEMPTS = 3;

export class Authentication {
  /** What was tried, for a person to read. */
  readonly tried: string[] = [];
  #methods: string[] = [];
  #identities: Identity[] | undefined;
  /** An accepted signature that did not suffice: which methods are left is to be asked for anew. */
  #signed = false;
  /** Steps done on a way of several: what was tried before may be wanted now. */
  #steps = 0;
  #passwordsAsked = 0;
  #answered = false;
  #remembered = { password: true, answer: true };
  #pending: { kind: 'passwords' | 'answers'; secret: string } | undefined;
  readonly #attempts: AsyncGenerator<AnyAuthMethod>;

  /**
   * @param onCancel the person went away from a question
   * @param asking around each question, so that the time a person takes counts for no time limit
   */
  constructor(
    private readonly ssh2: Ssh2,
    private readonly ask: Ask,
    private readonly onCancel: (error: TuneyardError) => void,
    private readonly asking: <T>(question: () => Promise<T>) => Promise<T>,
  ) {
    this.#attempts = this.#all();
  }

  /** The next method, as ssh2's `authHandler` has it; false: nothing is left. */
  async next(methodsLeft: AuthenticationType[] | null, partial: boolean | null): Promise<AnyAuthMethod | false> {
    // After keys ssh2 says what was left before them
    if (methodsLeft !== null && !this.#signed) this.#methods = methodsLeft;
    if (partial) {
      this.#steps += 1;
      this.succeeded();
    }
    this.#pending = undefined;
    try {
      const { value, done } = await this.#attempts.next();
      return done ? false : value;
    } catch (error) {
      this.onCancel(error instanceof TuneyardError ? error : cancelled());
      return false;
    }
  }

  /** What was typed last was right. */
  succeeded(): void {
    if (this.#pending) this.ask.secrets[this.#pending.kind].set(this.#account, this.#pending.secret);
  }

  failure(): TuneyardError {
    const { alias, user } = this.ask.settings;
    const tried = this.tried.length > 0 ? this.tried.join(', ') : l10n.t('nothing, as no key was found');
    return new TuneyardError(
      'auth_failed',
      l10n.t('{0} does not let {1} in. Tried: {2}. It takes: {3}.', alias, user, tried, this.#methods.join(', ')),
      { data: { user, tried: this.tried, methods: this.#methods } },
    );
  }

  get #account(): string {
    const { user, hostName, port } = this.ask.settings;
    return `${user}@${hostName}:${port}`;
  }

  async *#all(): AsyncGenerator<AnyAuthMethod> {
    const username = this.ask.settings.user;
    // Some servers want nothing else; all others say what they want
    yield { type: 'none', username };
    for (let before = -1; before !== this.#steps; ) {
      before = this.#steps;
      for (const method of this.ask.settings.authentications) {
        if (method === 'publickey') yield* this.#keys(username);
        if (method === 'keyboard-interactive') yield* this.#keyboard(username);
        if (method === 'password') yield* this.#password(username);
      }
    }
  }

  async *#keys(username: string): AsyncGenerator<AnyAuthMethod> {
    this.#identities ??= await identitiesOf(this.ssh2, { ...this.ask, prompts: this.#prompts });
    while (this.#methods.includes('publickey') && this.#identities.length > 0) {
      const batch = await this.#nextBatch(this.#identities);
      this.#signed = false;
      const agent = asAgent(
        this.ssh2,
        batch,
        (identity) => {
          this.#signed = true;
          this.#steps += 1;
          // If it is enough, we are in; if not, it is not offered again
          this.#identities = this.#identities?.filter((each) => each !== identity);
        },
        (error) => {
          this.#signed = false;
          if (error instanceof TuneyardError) this.onCancel(error);
        },
      );
      this.tried.push(...batch.map(({ name }) => name));
      yield { type: 'agent', username, agent };
      this.#identities = this.#identities.filter((each) => !batch.includes(each));
      if (this.#signed) {
        this.#signed = false;
        yield { type: 'none', username };
      }
    }
  }

  /** As many as can be offered at once. One whose public half nobody knows is opened when its turn comes. */
  async #nextBatch(identities: readonly Identity[]): Promise<Identity[]> {
    const locked = identities.findIndex(({ blob }) => blob === undefined);
    if (locked !== 0) return identities.slice(0, locked < 0 ? undefined : locked);
    const [first] = identities as [Identity];
    try {
      await first.open?.();
    } catch (error) {
      if (error instanceof TuneyardError) throw error;
      // Not to be opened: as good as not there
    }
    return [first];
  }

  async *#keyboard(username: string): AsyncGenerator<AnyAuthMethod> {
    for (let attempt = 0; attempt < ATTEMPTS && this.#methods.includes('keyboard-interactive'); attempt += 1) {
      if (attempt === 0) this.tried.push('keyboard-interactive');
      const remembered = attempt === 0 && this.#remembered.answer;
      this.#answered = false;
      yield {
        type: 'keyboard-interactive',
        username,
        prompt: (name, instructions, _language, prompts, finish) => {
          this.#answers(name, instructions, prompts).then(finish, (error: TuneyardError) => this.onCancel(error));
        },
      };
      // It asked for nothing: asking again would bring nothing else
      if (!this.#answered) return;
      // What was remembered was not typed now
      if (remembered && !this.#remembered.answer) attempt -= 1;
    }
  }

  async #answers(name: string, instructions: string, prompts: Prompt[]): Promise<string[]> {
    this.#answered = true;
    const [only] = prompts;
    const password = prompts.length === 1 && only?.echo !== true && /passw/i.test(only?.prompt ?? '');
    const known = this.ask.secrets.answers.get(this.#account);
    if (password && known !== undefined && this.#remembered.answer) {
      this.#remembered.answer = false;
      this.#pending = { kind: 'answers', secret: known };
      return [known];
    }
    const { alias } = this.ask.settings;
    const asked = prompts.map(({ prompt, echo = false }) => ({ text: prompt, echo }));
    const answers = await this.#prompts.answers({ host: alias, name, instructions, prompts: asked });
    if (answers === undefined) throw cancelled();
    if (password) this.#pending = { kind: 'answers', secret: answers[0] ?? '' };
    return answers;
  }

  async *#password(username: string): AsyncGenerator<AnyAuthMethod> {
    const known = this.ask.secrets.passwords.get(this.#account);
    if (this.#methods.includes('password') && known !== undefined && this.#remembered.password) {
      this.#remembered.password = false;
      this.tried.push('password');
      this.#pending = { kind: 'passwords', secret: known };
      yield { type: 'password', username, password: known };
    }
    while (this.#methods.includes('password') && this.#passwordsAsked < ATTEMPTS) {
      const { alias } = this.ask.settings;
      const password = await this.#prompts.password({ host: alias, user: username, retry: this.#passwordsAsked > 0 });
      if (password === undefined) throw cancelled();
      this.#passwordsAsked += 1;
      if (!this.tried.includes('password')) this.tried.push('password');
      this.#pending = { kind: 'passwords', secret: password };
      yield { type: 'password', username, password };
    }
  }

  get #prompts(): Ask['prompts'] {
    const { prompts } = this.ask;
    return {
      trustHostKey: (ask) => this.asking(() => prompts.trustHostKey(ask)),
      passphrase: (ask) => this.asking(() => prompts.passphrase(ask)),
      password: (ask) => this.asking(() => prompts.password(ask)),
      answers: (ask) => this.asking(() => prompts.answers(ask)),
    };
  }
}
