/** The person's SSH configuration (ssh_config(5)), as far as it concerns how a host is reached and proven. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import picomatch from 'picomatch';
import SSHConfig, { type Directive, type Section } from 'ssh-config';

/** How one host is reached. Paths are absolute; files need not exist. */
export interface SshTarget {
  /** What a person calls it. */
  alias: string;
  hostName: string;
  port: number;
  user: string;
  identityFiles: string[];
  /** Whether the files were named in the configuration, not the usual ones. */
  identityFilesNamed: boolean;
  identitiesOnly: boolean;
  /** Socket of the agent; undefined: none. */
  agent: string | undefined;
  /** Hops on the way, the first one first. */
  jumps: string[];
  /** What known_hosts calls it, where that differs. */
  hostKeyAlias: string | undefined;
  knownHostsFiles: string[];
  hashKnownHosts: boolean;
  strictHostKeyChecking: 'yes' | 'ask' | 'accept-new' | 'no';
  aliveIntervalMs: number;
  aliveCountMax: number;
  connectTimeoutMs: number;
  /** Methods in the order to try, where the configuration says one. */
  preferredAuthentications: string[] | undefined;
}

const USUAL_KEYS = ['id_ed25519', 'id_ecdsa', 'id_rsa'];
const MAX_INCLUDES = 16;

export class SshConfig {
  readonly #config: SSHConfig;

  private constructor(
    text: string,
    private readonly home: string,
    private readonly env: NodeJS.ProcessEnv,
    file: string,
  ) {
    try {
      this.#config = SSHConfig.parse(text);
    } catch (cause) {
      const what = `this is no SSH configuration (${cause instanceof Error ? cause.message : cause}); see ssh_config(5).`;
      throw new TuneyardError('ssh_config_invalid', what, { place: { file }, cause });
    }
  }

  /**
   * Reads a configuration with all that it includes. One that is missing is empty.
   * @param home the person's home directory
   * @throws TuneyardError `ssh_config_invalid`, naming file and line
   */
  static read(file: string, home: string, env: NodeJS.ProcessEnv = process.env): SshConfig {
    return new SshConfig(readWithIncludes(file, home, 'Host *', 0), home, env, file);
  }

  /** Hosts that are named without a pattern, in their order. */
  names(): string[] {
    const names = this.#config
      .filter((line): line is Section => 'param' in line && /^host$/i.test((line as Directive).param))
      .flatMap(({ value }) => (Array.isArray(value) ? value.map(({ val }) => val) : [value]))
      .filter((name) => name !== '' && !/[*?!]/.test(name));
    return [...new Set(names)];
  }

  /**
   * @param alias a name from the configuration, or any `[user@]host[:port]`
   * @throws TuneyardError `ssh_config_invalid` for values that mean nothing
   */
  target(alias: string): SshTarget {
    const [, user, name = alias, port] = /^(?:(.+)@)?(.+?)(?::(\d+))?$/.exec(alias) ?? [];
    const found = this.#config.compute(name, { ignoreCase: true, matchExec: false });
    const list = (key: string): string[] => [found[key] ?? []].flat().map(String);
    const one = (key: string): string | undefined => list(key)[0];
    const number = (key: string, otherwise: number): number => {
      const value = one(key);
      if (value === undefined) return otherwise;
      if (/^\d+$/.test(value)) return Number(value);
      throw new TuneyardError(
        'ssh_config_invalid',
        `"${key} ${value}" of the host "${alias}" is no number; correct it.`,
      );
    };
    const hostName = (one('hostname') ?? name).replaceAll('%h', name);
    const remoteUser = user ?? one('user') ?? (this.env.USER || userInfo().username);
    const remotePort = port === undefined ? number('port', 22) : Number(port);
    const expand = (path: string) =>
      this.#path(
        path.replaceAll(/%[%dhnpruLli]/g, (token) => {
          const values: Record<string, string> = {
            '%%': '%',
            '%d': this.home,
            '%h': hostName,
            '%n': name,
            '%p': String(remotePort),
            '%r': remoteUser,
            '%u': userInfo().username,
            '%L': hostname().split('.')[0]!,
            '%l': hostname(),
            '%i': String(process.getuid?.() ?? ''),
          };
          return values[token]!;
        }),
      );
    const named = list('identityfile').filter((file) => file.toLowerCase() !== 'none');
    const usual = USUAL_KEYS.map((key) => join('~/.ssh', key));
    const proxy = one('proxyjump');
    if (one('proxycommand') !== undefined && one('proxycommand')?.toLowerCase() !== 'none' && proxy === undefined) {
      throw new TuneyardError(
        'ssh_config_invalid',
        `the host "${alias}" is reached by a ProxyCommand, which is not supported; say it as ProxyJump.`,
      );
    }
    const files = [
      ...(list('userknownhostsfile').length > 0 ? list('userknownhostsfile') : USER_KNOWN_HOSTS),
      ...(list('globalknownhostsfile').length > 0 ? list('globalknownhostsfile') : GLOBAL_KNOWN_HOSTS),
    ];
    return {
      alias,
      hostName,
      port: remotePort,
      user: remoteUser,
      identityFiles: (named.length > 0 ? named : usual).map(expand),
      identityFilesNamed: named.length > 0,
      identitiesOnly: one('identitiesonly')?.toLowerCase() === 'yes',
      agent: this.#agent(one('identityagent'), expand),
      jumps:
        proxy === undefined || proxy.toLowerCase() === 'none'
          ? []
          : list('proxyjump')
              .join(',')
              .split(',')
              .map((hop) => hop.trim().replace(/^ssh:\/\//, '')),
      hostKeyAlias: one('hostkeyalias'),
      knownHostsFiles: files.filter((file) => file.toLowerCase() !== 'none').map(expand),
      hashKnownHosts: one('hashknownhosts')?.toLowerCase() === 'yes',
      strictHostKeyChecking: strictness(one('stricthostkeychecking')),
      aliveIntervalMs: number('serveraliveinterval', 15) * 1000,
      aliveCountMax: number('serveralivecountmax', 3),
      connectTimeoutMs: number('connecttimeout', 20) * 1000,
      preferredAuthentications: one('preferredauthentications')?.split(','),
    };
  }

  #agent(named: string | undefined, expand: (path: string) => string): string | undefined {
    if (named === undefined || named === 'SSH_AUTH_SOCK') return this.env.SSH_AUTH_SOCK || undefined;
    if (named.toLowerCase() === 'none') return undefined;
    return named.startsWith('$') ? this.env[named.slice(1)] || undefined : expand(named);
  }

  #path(path: string): string {
    if (path === '~' || path.startsWith('~/')) return join(this.home, path.slice(1));
    return isAbsolute(path) ? path : join(this.home, '.ssh', path);
  }
}

const USER_KNOWN_HOSTS = ['~/.ssh/known_hosts', '~/.ssh/known_hosts2'];
const GLOBAL_KNOWN_HOSTS = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];

function strictness(value: string | undefined): SshTarget['strictHostKeyChecking'] {
  switch (value?.toLowerCase()) {
    case 'yes':
    case 'accept-new':
    case 'no':
      return value.toLowerCase() as 'yes' | 'accept-new' | 'no';
    case 'off':
      return 'no';
    default:
      return 'ask';
  }
}

/**
 * A file's text with what it includes in place of each Include. An included file may open sections of its own; behind
 * it the section goes on in which the Include stood.
 */
function readWithIncludes(file: string, home: string, section: string, depth: number): string {
  if (!existsSync(file)) return '';
  if (depth > MAX_INCLUDES) {
    throw new TuneyardError('ssh_config_invalid', 'files include each other without end; break the circle.', {
      place: { file },
    });
  }
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new TuneyardError('ssh_config_invalid', 'it cannot be read; check its permissions.', {
      place: { file },
      cause,
    });
  }
  let current = section;
  const lines = text.split(/\r?\n/).flatMap((line) => {
    if (/^\s*(host|match)[\s=]/i.test(line)) current = line.trim();
    const included = /^\s*include(?:\s*=\s*|\s+)(.+?)\s*$/i.exec(line)?.[1];
    if (included === undefined) {
      checkLine(line, file, text);
      return [line];
    }
    const patterns = [...included.matchAll(/"([^"]+)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    const files = patterns.flatMap((pattern) => expandGlob(pattern, home));
    return [...files.map((each) => readWithIncludes(each, home, current, depth + 1)), current];
  });
  return lines.join('\n');
}

/** A keyword without a value is what a slip of the pen looks like; the parser would take the next line for it. */
function checkLine(line: string, file: string, text: string): void {
  const keyword = /^\s*([A-Za-z]\w*)\s*=?\s*$/.exec(line)?.[1];
  if (keyword === undefined) return;
  const number = text.split(/\r?\n/).indexOf(line) + 1;
  throw new TuneyardError('ssh_config_invalid', `"${keyword}" has no value; complete or remove the line.`, {
    place: { file, line: number },
  });
}

function expandGlob(pattern: string, home: string): string[] {
  const path = pattern.startsWith('~/')
    ? join(home, pattern.slice(2))
    : isAbsolute(pattern)
      ? pattern
      : join(home, '.ssh', pattern);
  if (!/[*?[]/.test(path)) return [path];
  const matches = picomatch(basename(path));
  const folder = dirname(path);
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => matches(name))
        .sort()
        .map((name) => join(folder, name))
    : [];
}
