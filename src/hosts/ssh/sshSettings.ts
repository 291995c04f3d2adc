/** What the SSH configuration means for one host: where it is, who logs in with what, and over which hosts. */
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { type ConfigValue, type ConfigValues, localUser, type SshConfig } from './sshConfig';

export interface SshSettings {
  /** The name it goes by. */
  alias: string;
  hostName: string;
  port: number;
  user: string;
  /** Private keys, in order. */
  identityFiles: string[];
  /** Whether the keys are those of the configuration, not those that are there by default. */
  identitiesNamed: boolean;
  identitiesOnly: boolean;
  /** The agent's socket; undefined: none. */
  agent: string | undefined;
  /** `publickey`, `keyboard-interactive`, `password`: in the order to try them. */
  authentications: string[];
  userKnownHosts: string[];
  globalKnownHosts: string[];
  /** Looked for in known_hosts in place of the host's own name. */
  hostKeyAlias: string | undefined;
  strictHostKeyChecking: 'ask' | 'yes' | 'no' | 'accept-new';
  hashKnownHosts: boolean;
  /** Runs on this machine; its streams are the connection. */
  proxyCommand: string | undefined;
  aliveIntervalMs: number;
  aliveCountMax: number;
  connectTimeoutMs: number;
  /** 4, 6, or both. */
  family: 4 | 6 | 0;
}

/** Takes the place of what the configuration says. */
export interface SshOverrides {
  hostName?: string;
  user?: string;
  port?: number;
  identityFile?: string;
}

const CONNECT_TIMEOUT_MS = 20_000;
/** A connection that is gone is to be noticed, also where the configuration says nothing. */
const ALIVE_INTERVAL_MS = 15_000;
const ALIVE_COUNT_MAX = 3;
const AUTHENTICATIONS = ['publickey', 'keyboard-interactive', 'password'];
const IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ed25519'];
const MAX_JUMPS = 8;

/**
 * The hosts to go over one after the other, the one that is meant last.
 * @throws TuneyardError `ssh_config_invalid`, with its place
 */
export function routeTo(config: SshConfig, home: string, alias: string, overrides: SshOverrides = {}): SshSettings[] {
  const follow = (name: string, own: SshOverrides, depth: number): SshSettings[] => {
    const values = config.valuesOf(name, own.user);
    const settings = settingsOf(values, home, name, own);
    const jump = values.get('proxyjump')?.[0];
    if (jump === undefined || jump.words[0]?.toLowerCase() === 'none') return [settings];
    const jumps = (jump.words[0] ?? '').split(',').map((each) => readJump(each.trim(), jump));
    if (depth + jumps.length > MAX_JUMPS)
      throw invalid(jump, l10n.t('ProxyJump goes over too many hosts: in a circle?'));
    // The way to the first is its own; from there on the list says it
    const [first, ...rest] = jumps as [(typeof jumps)[number], ...typeof jumps];
    return [
      ...follow(first.name, first, depth + jumps.length),
      ...rest.map((each) => settingsOf(config.valuesOf(each.name, each.user), home, each.name, each)),
      settings,
    ];
  };
  return follow(alias, overrides, 0);
}

/** `[user@]host[:port]` or `ssh://…` */
function readJump(text: string, value: ConfigValue): SshOverrides & { name: string } {
  const match = /^(?:ssh:\/\/)?(?:(.+)@)?(?:\[([^\]]+)\]|([^:@]+))(?::(\d+))?\/?$/.exec(text);
  if (match === null) throw invalid(value, l10n.t('ProxyJump names no host: "{0}".', text));
  const [, user, bracketed, plain, port] = match;
  return { name: (bracketed ?? plain) as string, user, port: port === undefined ? undefined : Number(port) };
}

function settingsOf(values: ConfigValues, home: string, alias: string, own: SshOverrides): SshSettings {
  const said = (keyword: string) => values.get(keyword)?.[0];
  const text = (keyword: string) => said(keyword)?.words[0];
  const number = (keyword: string, least: number, most: number): number | undefined => {
    const value = said(keyword);
    if (value === undefined) return undefined;
    const read = Number(value.words[0]);
    if (!/^\d+$/.test(value.words[0] ?? '') || read < least || read > most) {
      throw invalid(
        value,
        l10n.t('A number from {0} to {1} was expected, not "{2}".', least, most, value.words.join(' ')),
      );
    }
    return read;
  };
  const yes = (keyword: string, unsaid: boolean) => {
    const value = text(keyword)?.toLowerCase();
    return value === undefined ? unsaid : value === 'yes' || value === 'true';
  };

  const hostName = (own.hostName ?? text('hostname') ?? alias).replace(/%[h%]/g, (token) =>
    token === '%h' ? alias : '%',
  );
  const port = own.port ?? number('port', 1, 65_535) ?? 22;
  const user = own.user ?? text('user') ?? localUser();
  const tokens: Record<string, string> = {
    '%': '%',
    d: home,
    h: hostName,
    k: text('hostkeyalias') ?? alias,
    n: alias,
    p: String(port),
    r: user,
    u: localUser(),
  };
  const expand = (path: string) =>
    path
      .replace(/%([%dhknpru])/g, (_, token: string) => tokens[token] as string)
      .replace(/\$\{(\w+)\}/g, (_, name: string) => process.env[name] ?? '');
  const toPath = (path: string) => {
    const expanded = expand(path);
    return expanded.startsWith('~/') ? join(home, expanded.slice(2)) : expanded;
  };
  const paths = (keyword: string, unsaid: string[]) =>
    (said(keyword)?.words.flatMap((each) => each.split(/\s+/)) ?? unsaid).filter((each) => each !== 'none').map(toPath);

  const named = [
    ...(own.identityFile === undefined ? [] : [own.identityFile]),
    ...(values.get('identityfile') ?? []).flatMap(({ words }) => words),
  ];
  const command = said('proxycommand')?.words[0];
  const alive = number('serveraliveinterval', 0, 86_400) || undefined;
  const timeout = number('connecttimeout', 0, 86_400) || undefined;
  const wanted = text('preferredauthentications')?.toLowerCase().split(',');
  const family = text('addressfamily')?.toLowerCase();
  return {
    alias,
    hostName,
    port,
    user,
    identityFiles: (named.length > 0 ? named : IDENTITIES.map((name) => `~/.ssh/${name}`))
      .filter((each) => each !== 'none')
      .map(toPath),
    identitiesNamed: named.length > 0,
    identitiesOnly: yes('identitiesonly', false),
    agent: agentOf(text('identityagent'), toPath),
    authentications: (wanted ?? AUTHENTICATIONS).filter((method) => {
      if (method === 'publickey') return yes('pubkeyauthentication', true);
      if (method === 'password') return yes('passwordauthentication', true);
      return method === 'keyboard-interactive' && yes('kbdinteractiveauthentication', true);
    }),
    userKnownHosts: paths('userknownhostsfile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']),
    globalKnownHosts: paths('globalknownhostsfile', ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2']),
    hostKeyAlias: text('hostkeyalias'),
    strictHostKeyChecking: checkingOf(text('stricthostkeychecking')?.toLowerCase()),
    hashKnownHosts: yes('hashknownhosts', false),
    proxyCommand: command === undefined || command.toLowerCase() === 'none' ? undefined : expand(command),
    aliveIntervalMs: alive === undefined ? ALIVE_INTERVAL_MS : alive * 1000,
    aliveCountMax: number('serveralivecountmax', 0, 1000) ?? ALIVE_COUNT_MAX,
    connectTimeoutMs: timeout === undefined ? CONNECT_TIMEOUT_MS : timeout * 1000,
    family: family === 'inet' ? 4 : family === 'inet6' ? 6 : 0,
  };
}

function agentOf(said: string | undefined, toPath: (path: string) => string): string | undefined {
  const fromEnvironment = process.env.SSH_AUTH_SOCK || (process.platform === 'win32' ? WINDOWS_AGENT : undefined);
  if (said === undefined || said === 'SSH_AUTH_SOCK') return fromEnvironment;
  if (said === 'none') return undefined;
  if (/^\$\w+$/.test(said)) return process.env[said.slice(1)] || undefined;
  return toPath(said);
}

/** Where the agent of OpenSSH for Windows listens. */
const WINDOWS_AGENT = String.raw`\\.\pipe\openssh-ssh-agent`;

function checkingOf(said: string | undefined): SshSettings['strictHostKeyChecking'] {
  if (said === 'yes' || said === 'true') return 'yes';
  if (said === 'no' || said === 'off' || said === 'false') return 'no';
  return said === 'accept-new' ? 'accept-new' : 'ask';
}

function invalid({ file, line }: ConfigValue, what: string): TuneyardError {
  return new TuneyardError('ssh_config_invalid', what, { place: { file, line } });
}
