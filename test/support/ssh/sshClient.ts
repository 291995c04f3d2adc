/** Our side of a connection, for tests: hosts from a configuration, a person who answers as told, an agent, an account. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host, HostPrompts } from '@host/hosts/host';
import { HostRegistry, type HostRegistryOptions } from '@host/hosts/registry';

export interface Person extends HostPrompts {
  /** What was asked, in order: the question's name, and what it said. */
  readonly asked: { question: keyof HostPrompts; [detail: string]: unknown }[];
}

type Answers = { [Q in keyof HostPrompts]?: Awaited<ReturnType<HostPrompts[Q]>>[] };

/** Answers each question with the next of its answers; with none left, goes away. */
export function person(answers: Answers = {}): Person {
  const asked: Person['asked'] = [];
  const left: Record<string, unknown[]> = Object.fromEntries(
    Object.entries(answers).map(([question, all]) => [question, [...all]]),
  );
  const answer = (question: keyof HostPrompts) => async (ask: object) => {
    asked.push({ question, ...ask });
    return left[question]?.shift() as never;
  };
  return {
    asked,
    trustHostKey: answer('trustHostKey'),
    passphrase: answer('passphrase'),
    password: answer('password'),
    answers: answer('answers'),
  };
}

export interface ClientOptions extends Partial<Omit<HostRegistryOptions, 'home' | 'sshConfigPaths'>> {
  /** For the configuration, and as the home directory. */
  dir: string;
}

/** The hosts of a configuration. Dispose of the registry in the end. */
export function hostsOf(config: string, { dir, ...options }: ClientOptions): HostRegistry {
  const path = join(dir, `config-${randomBytes(4).toString('hex')}`);
  writeFileSync(path, config);
  return new HostRegistry({
    prompts: person(),
    added: { get: () => [], set: async () => {} },
    ssh: { retry: { times: 3, firstMs: 50 } },
    ...options,
    home: dir,
    sshConfigPaths: [path],
  });
}

/** The last SSH host of a configuration. */
export function hostOf(config: string, options: ClientOptions): Host & AsyncDisposable {
  const hosts = hostsOf(config, options);
  const host = hosts.list().at(-1) as Host;
  return Object.assign(host, { [Symbol.asyncDispose]: async () => hosts.dispose() });
}

export interface Agent {
  readonly socket: string;
  add(key: string): void;
  dispose(): Promise<void>;
}

/** A real ssh-agent without keys. */
export async function startAgent(dir: string): Promise<Agent> {
  const socket = join(dir, `agent-${randomBytes(4).toString('hex')}`);
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  while (!existsSync(socket)) await sleep(20);
  return {
    socket,
    add: (key) => {
      execFileSync('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: 'pipe' });
    },
    dispose: async () => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
}

/** Why accounts cannot be made here; undefined where they can. */
export const accountsMissing =
  userInfo().uid !== 0
    ? 'needs root, to make an account with a password'
    : existsSync('/usr/sbin/useradd')
      ? undefined
      : 'needs useradd: install the Debian package passwd';

export interface Account {
  readonly name: string;
  readonly password: string;
  /** To one that nobody knows. */
  changePassword(): void;
  dispose(): void;
}

/** An account of this machine with a password; goes when disposed of. */
export function makeAccount({ shell = '/bin/sh' }: { shell?: string } = {}): Account {
  const name = `tune${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('base64url');
  const setPassword = (to: string) => execFileSync('/usr/sbin/chpasswd', { input: `${name}:${to}\n` });
  execFileSync('/usr/sbin/useradd', ['--no-create-home', '--shell', shell, '--home-dir', '/', name]);
  setPassword(password);
  return {
    name,
    password,
    changePassword: () => void setPassword(randomBytes(12).toString('base64url')),
    // What the account still runs must not keep it
    dispose: () => void execFileSync('/usr/sbin/userdel', ['--force', name], { stdio: 'ignore' }),
  };
}
