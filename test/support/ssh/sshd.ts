/**
 * A real OpenSSH server on a loopback port of its own: own host keys, own configuration, own authorised keys, and a home
 * directory of its own (`$HOME` of whoever logs in; the account is that of the tests).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './freePort';

const PROGRAM = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/opt/homebrew/sbin/sshd'].find((path) => existsSync(path));

/** Why tests against a real server cannot run here; undefined where they can. For `describe.skipIf` and its name. */
export const sshdMissing =
  process.platform === 'win32'
    ? 'needs a POSIX system'
    : PROGRAM === undefined
      ? 'needs sshd: install the Debian package openssh-server'
      : undefined;

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

export interface SshdOptions {
  /** Default: ed25519 only. */
  hostKeys?: KeyType[];
  /** Lines of `sshd_config` in front of ours; the first to say something wins. */
  config?: string[];
  /** Variables of every session, beside `HOME`. */
  env?: Record<string, string>;
  /** What serves files. Default: the server itself. */
  sftp?: string;
}

export interface HostKey {
  /** `ssh-ed25519 AAAA…` */
  line: string;
  /** `SHA256:…` */
  fingerprint: string;
}

export interface Sshd extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** `$HOME` on the host. */
  readonly home: string;
  /** For the client's own files. Goes when the server is disposed of. */
  readonly dir: string;
  /** A private key that the server accepts, ed25519 without a passphrase. */
  readonly clientKey: string;
  /** A known_hosts that knows all its keys. */
  readonly knownHosts: string;
  hostKey(type: KeyType): HostKey;
  /** Lets a public key in (`ssh-ed25519 AAAA…`). */
  authorize(publicKey: string): Promise<void>;
  /** An ssh_config block that reaches it without asking anything. `lines` come first, so that they win. */
  sshConfig(alias: string, lines?: string[]): string;
  /** The listener and every connection; what runs on the host goes on. */
  stop(): Promise<void>;
  /** On the same port with the same keys, after `stop`. */
  start(): Promise<void>;
  /** Ends every connection; the listener stays. */
  dropConnections(): void;
  dispose(): Promise<void>;
}

export async function startSshd({
  hostKeys = ['ed25519'],
  config = [],
  env = {},
  sftp = 'internal-sftp',
}: SshdOptions = {}): Promise<Sshd> {
  if (PROGRAM === undefined) throw new Error(sshdMissing);
  const dir = await mkdtemp(join(tmpdir(), 'tuneyard-sshd-'));
  // Other accounts that log in read their keys here
  await chmod(dir, 0o755);
  const home = join(dir, 'home');
  await mkdir(join(home, '.ssh'), { recursive: true });
  const root = userInfo().uid === 0;
  if (root) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });

  for (const type of hostKeys) await makeKey(join(dir, `host_${type}`), type);
  const clientKey = join(dir, 'client');
  const authorizedKeys = join(dir, 'authorized_keys');
  await writeFile(authorizedKeys, `${await makeKey(clientKey, 'ed25519')}\n`);

  const port = await freePort();
  const configFile = join(dir, 'sshd_config');
  await writeFile(
    configFile,
    [
      ...config,
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeys.map((type) => `HostKey ${join(dir, `host_${type}`)}`),
      `AuthorizedKeysFile ${authorizedKeys}`,
      `PidFile ${join(dir, 'sshd.pid')}`,
      `SetEnv ${Object.entries({ HOME: home, ...env })
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PrintMotd no',
      'MaxStartups 100',
      'LogLevel VERBOSE',
      `Subsystem sftp ${sftp}`,
      '',
    ].join('\n'),
  );

  const keyOf = (type: KeyType): HostKey => describeKey(readFileSync(join(dir, `host_${type}.pub`), 'utf8'));
  const knownHosts = join(dir, 'known_hosts');
  await writeFile(knownHosts, hostKeys.map((type) => `[127.0.0.1]:${port} ${keyOf(type).line}\n`).join(''));

  const log = join(dir, 'sshd.log');
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    child = await startServer({ configFile, log, address: '127.0.0.1', port });
  }

  async function stop(): Promise<void> {
    if (child) await stopServer(child);
  }

  async function dispose(): Promise<void> {
    await stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }

  return {
    port,
    user: userInfo().username,
    home,
    dir,
    clientKey,
    knownHosts,
    hostKey: keyOf,
    authorize: (publicKey) => appendFile(authorizedKeys, `${publicKey.trim()}\n`),
    sshConfig: (alias, lines = []) =>
      [
        `Host ${alias}`,
        ...lines.map((line) => `  ${line}`),
        '  HostName 127.0.0.1',
        `  Port ${port}`,
        `  User ${userInfo().username}`,
        `  IdentityFile ${clientKey}`,
        '  IdentitiesOnly yes',
        '  IdentityAgent none',
        `  UserKnownHostsFile ${knownHosts}`,
        '  GlobalKnownHostsFile /dev/null',
        '',
      ].join('\n'),
    stop,
    start,
    dropConnections: () => child?.pid !== undefined && serversBelow(child.pid).forEach(kill),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Makes a key pair with ssh-keygen; the public key's line. */
export async function makeKey(
  path: string,
  type: KeyType,
  { passphrase = '', format = 'OpenSSH' }: { passphrase?: string; format?: 'OpenSSH' | 'PEM' | 'PKCS8' } = {},
): Promise<string> {
  const size = type === 'rsa' ? ['-b', '2048'] : [];
  // ssh-keygen writes its own format unless told otherwise; RFC4716 is its name for that
  const form = ['-m', format === 'OpenSSH' ? 'RFC4716' : format];
  execFileSync('ssh-keygen', ['-q', '-t', type, ...size, ...form, '-N', passphrase, '-C', 'test', '-f', path]);
  return (await readFile(`${path}.pub`, 'utf8')).trim();
}

function describeKey(publicKey: string): HostKey {
  const [type, blob] = publicKey.split(' ') as [string, string];
  const hash = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '');
  return { line: `${type} ${blob}`, fingerprint: `SHA256:${hash}` };
}

export interface ServerPlace {
  configFile: string;
  log: string;
  address: string;
  port: number;
}

/**
 * A server that answers. One that was there before may have left a connection behind that holds its port for a moment:
 * it is tried again until the port is free.
 */
export async function startServer({ configFile, log, address, port }: ServerPlace): Promise<ChildProcess> {
  const giveUp = performance.now() + 60_000;
  for (;;) {
    const child = spawn(PROGRAM as string, ['-D', '-f', configFile, '-E', log], { stdio: 'ignore' });
    const isUp = () => child.exitCode === null && child.signalCode === null;
    while (isUp()) {
      if (await greets(address, port)) {
        if (isUp()) return child;
        break;
      }
      await sleep(20);
    }
    if (performance.now() > giveUp)
      throw new Error(`sshd did not start: ${await readFile(log, 'utf8').catch(() => '')}`);
    await sleep(100);
  }
}

/** The listener and every connection of it. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const connections = serversBelow(child.pid);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  connections.forEach(kill);
  await exited;
}

/** Whether an SSH server is there; anybody else who listens is none. */
async function greets(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('data', (data) => resolve(data.toString('latin1').startsWith('SSH-')));
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      socket.setTimeout(5000, () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}

/** The processes below one that are servers of a connection, not what was started through it. */
function serversBelow(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (name.startsWith('sshd')) parents.set(Number(entry), parent);
    } catch {
      // gone meanwhile
    }
  }
  const below = (child: number): boolean => {
    const parent = parents.get(child);
    return parent !== undefined && (parent === pid || below(parent));
  };
  return [...parents.keys()].filter(below);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
}
