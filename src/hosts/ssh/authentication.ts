/** How a person is proven to a server: agent, keys, password, questions; in the order of ssh. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AnyAuthMethod, AuthenticationType, BaseAgent, IdentityCallback, ParsedKey } from 'ssh2';
import type { HostPrompts } from '../host';
import type { SshTarget } from './sshConfig';

const TRIES = 3;
const DEFAULT_ORDER = ['publickey', 'keyboard-interactive', 'password'];

/** What became of the attempt, for the message when nothing is left to try. */
export interface Attempt {
  /** "the agent’s 2 keys", "~/.ssh/id_ed25519", "password". */
  tried: string[];
  /** Set where a person gave up, or a key could not be used. */
  trouble?: TuneyardError;
}

type Ssh2 = typeof import('ssh2');

/**
 * An authentication handler for ssh2 (`authHandler`): asks a person only when a server would take the answer.
 * @param attempt filled in on the way
 */
export function authentication(ssh2: Ssh2, target: SshTarget, prompts: HostPrompts, attempt: Attempt) {
  const order = target.preferredAuthentications ?? DEFAULT_ORDER;
  const methods = proofs(ssh2, target, prompts, attempt, () => allowed, order);
  let allowed: readonly string[] | undefined;
  return (
    left: AuthenticationType[] | null,
    _partial: boolean | null,
    next: (method: AnyAuthMethod | false) => void,
  ): void => {
    if (left) allowed = left;
    methods.next().then(
      ({ value, done }) => next(done ? false : value),
      (error: unknown) => {
        attempt.trouble = error instanceof TuneyardError ? error : new TuneyardError('auth_failed', String(error));
        next(false);
      },
    );
  };
}

async function* proofs(
  ssh2: Ssh2,
  target: SshTarget,
  prompts: HostPrompts,
  attempt: Attempt,
  allowed: () => readonly string[] | undefined,
  order: readonly string[],
): AsyncGenerator<AnyAuthMethod> {
  const username = target.user;
  // Asks the server what it takes.
  yield { type: 'none', username };
  const takes = (method: string) => allowed()?.includes(method) ?? true;
  for (const method of order) {
    if (!takes(method)) continue;
    if (method === 'publickey') yield* keys(ssh2, target, prompts, attempt);
    if (method === 'keyboard-interactive') yield* questions(target, prompts, attempt, takes);
    if (method === 'password') yield* passwords(target, prompts, attempt, takes);
  }
}

async function* keys(
  ssh2: Ssh2,
  target: SshTarget,
  prompts: HostPrompts,
  attempt: Attempt,
): AsyncGenerator<AnyAuthMethod> {
  const username = target.user;
  const files = await Promise.all(target.identityFiles.map((file) => keyFile(ssh2, file)));
  const held = await agentKeys(ssh2, target, files);
  if (held) {
    attempt.tried.push(l10n.t('{0} keys of the agent', held.count));
    yield { type: 'agent', username, agent: held.agent };
  }
  for (const file of files) {
    if (!file || (held && file.publicKey && held.has(file.publicKey))) continue;
    const key = await unlock(ssh2, file, target, prompts, attempt);
    if (!key) continue;
    attempt.tried.push(file.path);
    yield { type: 'publickey', username, key };
  }
}

interface KeyFile {
  path: string;
  text: string;
  /** Wire form, where it can be told without a passphrase. */
  publicKey: Buffer | undefined;
}

async function keyFile(ssh2: Ssh2, path: string): Promise<KeyFile | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  const beside = await readFile(`${path}.pub`, 'utf8').catch(() => undefined);
  if (text === undefined && beside === undefined) return undefined;
  const parsed = beside === undefined ? ssh2.utils.parseKey(text!) : ssh2.utils.parseKey(beside);
  const key = [parsed].flat()[0];
  return { path, text: text ?? '', publicKey: !key || key instanceof Error ? undefined : key.getPublicSSH() };
}

/** The agent, with only the keys that may be used; undefined where it has none. */
async function agentKeys(ssh2: Ssh2, target: SshTarget, files: readonly (KeyFile | undefined)[]) {
  if (target.agent === undefined) return undefined;
  const all = ssh2.createAgent(target.agent) as BaseAgent<ParsedKey>;
  const listed = await new Promise<ParsedKey[]>((resolve) => {
    // An agent that is gone has no keys.
    all.getIdentities((error, keys) => resolve(error ? [] : ((keys ?? []) as ParsedKey[])));
  });
  const named = files.flatMap((file) => (file?.publicKey ? [file.publicKey] : []));
  const isNamed = (key: ParsedKey) => named.some((each) => each.equals(key.getPublicSSH()));
  const usable = target.identitiesOnly
    ? listed.filter(isNamed)
    : [...listed].sort((a, b) => Number(isNamed(b)) - Number(isNamed(a)));
  if (usable.length === 0) return undefined;
  // Signs with the person's agent, and offers what may be offered.
  const agent = new Proxy(all, {
    get(whole, property) {
      if (property === 'getIdentities') return (told: IdentityCallback<ParsedKey>) => told(undefined, usable);
      const value: unknown = Reflect.get(whole, property, whole);
      return typeof value === 'function' ? value.bind(whole) : value;
    },
  });
  return { agent, count: usable.length, has: (key: Buffer) => usable.some((each) => each.getPublicSSH().equals(key)) };
}

/** @returns undefined for a key that is of no use, which `attempt` then tells */
async function unlock(
  ssh2: Ssh2,
  { path, text }: KeyFile,
  target: SshTarget,
  prompts: HostPrompts,
  attempt: Attempt,
): Promise<ParsedKey | undefined> {
  // Only the public half is here: the private one is the agent's.
  if (text === '') return undefined;
  let key = parsePrivate(ssh2, text);
  for (let retry = 0; key instanceof Error && isLocked(key) && retry < TRIES; retry++) {
    const passphrase = await prompts.passphrase({ host: target.alias, keyFile: path, retry: retry > 0 });
    if (passphrase === undefined) return undefined;
    key = parsePrivate(ssh2, text, passphrase);
  }
  if (!(key instanceof Error)) return key;
  attempt.trouble = new TuneyardError(
    'auth_failed',
    isLocked(key)
      ? l10n.t('the passphrase of {0} was wrong {1} times; try again.', basename(path), TRIES)
      : l10n.t('this key cannot be read ({0}).', key.message),
    { place: { file: path } },
  );
  return undefined;
}

function parsePrivate(ssh2: Ssh2, text: string, passphrase?: string): ParsedKey | Error {
  const key = [ssh2.utils.parseKey(text, passphrase)].flat()[0] as ParsedKey | Error;
  if (key instanceof Error || key.isPrivateKey()) return key;
  return new Error('it is a public key');
}

const isLocked = (error: Error): boolean => /passphrase|encrypted|integrity check|bad decrypt|MAC/i.test(error.message);

async function* passwords(
  target: SshTarget,
  prompts: HostPrompts,
  attempt: Attempt,
  takes: (method: string) => boolean,
): AsyncGenerator<AnyAuthMethod> {
  for (let retry = 0; retry < TRIES && takes('password'); retry++) {
    const password = await prompts.password({ host: target.alias, user: target.user, retry: retry > 0 });
    if (password === undefined) return;
    attempt.tried.push(l10n.t('password'));
    yield { type: 'password', username: target.user, password };
  }
}

async function* questions(
  target: SshTarget,
  prompts: HostPrompts,
  attempt: Attempt,
  takes: (method: string) => boolean,
): AsyncGenerator<AnyAuthMethod> {
  let wentAway = false;
  for (let retry = 0; retry < TRIES && takes('keyboard-interactive') && !wentAway; retry++) {
    attempt.tried.push('keyboard-interactive');
    yield {
      type: 'keyboard-interactive',
      username: target.user,
      prompt: (name, instructions, _language, asked, finish) => {
        // Servers end with a round without a question.
        if (asked.length === 0) return finish([]);
        const ask = {
          host: target.alias,
          name,
          instructions,
          prompts: asked.map(({ prompt, echo }) => ({ text: prompt, echo: echo === true })),
        };
        prompts.answers(ask).then(
          (answers) => {
            wentAway = answers === undefined;
            finish(answers ?? []);
          },
          () => finish([]),
        );
      },
    };
  }
}
