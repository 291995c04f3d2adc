/** One SSH connection: the way there, the host's key, logging in. */
import { spawn } from 'node:child_process';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { AuthenticationType, Client, NextAuthHandler } from 'ssh2';
import type { HostPrompts } from '../host';
import { inSeconds, onAbort, reasonOf, throwIfAborted, within } from '../limits';
import { Authentication } from './authentication';
import { HostKeys } from './hostKeys';
import type { Secrets } from './secrets';
import type { Ssh2 } from './ssh2';
import type { SshSettings } from './sshSettings';

export interface Connecting {
  prompts: HostPrompts;
  secrets: Secrets;
  signal: AbortSignal;
}

/** @param over the connection to the host before it, where there is one */
export async function connectHop(
  ssh2: Ssh2,
  settings: SshSettings,
  over: Client | undefined,
  { prompts, secrets, signal }: Connecting,
): Promise<Client> {
  throwIfAborted(signal);
  const limit = new TimeLimit(settings.connectTimeoutMs);
  const hostKeys = new HostKeys(settings, limit.pausedAround(prompts));
  const serverHostKey = await hostKeys.algorithms();
  const client = new ssh2.Client();
  let socket: Duplex | undefined;
  try {
    return await within(
      new Promise<Client>((resolve, reject) => {
        const fail = (error: TuneyardError) => reject(error);
        limit.start(() => fail(tooLong(settings)));
        const ask = { settings, prompts, secrets };
        const authentication = new Authentication(ssh2, ask, fail, (question) => limit.paused(question));
        let [verified, greeted] = [false, false];
        client.once('handshake', () => {
          greeted = true;
        });
        client.once('ready', () => {
          authentication.succeeded();
          resolve(client);
        });
        client.on('error', (error: Error & { level?: string }) => {
          // One key that the agent did not sign with is not the end
          if (error.level === 'agent') return;
          if (error.level === 'client-authentication') fail(authentication.failure());
          else if (verified && authentication.tried.length > 0 && error.level === undefined) {
            fail(refused(settings, authentication, error));
          } else fail(failed(settings, error));
        });
        client.once('close', () => {
          if (greeted && authentication.tried.length > 0) fail(authentication.failure());
          else fail(failed(settings, new Error(l10n.t('the connection was closed'))));
        });
        // Whoever logs in gets text at times; nothing in it is for us
        client.on('banner', () => {});
        openSocket(settings, over, signal).then((stream) => {
          socket = stream;
          if (signal.aborted) {
            stream.destroy();
            return;
          }
          client.connect({
            sock: stream as never,
            username: settings.user,
            readyTimeout: 0,
            keepaliveInterval: settings.aliveIntervalMs,
            keepaliveCountMax: settings.aliveCountMax,
            algorithms: { serverHostKey: serverHostKey as never },
            hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
              // While a person was being asked the connection may have ended: nobody waits for an answer then.
              const answer = (valid: boolean) => {
                if (!stream.destroyed) verify(valid);
              };
              hostKeys.check(key).then(
                () => {
                  verified = true;
                  answer(true);
                },
                (error: TuneyardError) => {
                  fail(error);
                  answer(false);
                },
              );
            },
            authHandler: ((left: AuthenticationType[] | null, partial: boolean | null, next: NextAuthHandler) => {
              authentication.next(left, partial).then((method) => next(method as never));
            }) as never,
          });
        }, fail);
      }),
      { signals: [signal] },
    );
  } catch (error) {
    // Nothing more of it is to be heard, and nothing to come of it
    client.on('error', () => {});
    client.end();
    socket?.destroy();
    throw error;
  } finally {
    limit.stop();
  }
}

/** Counts while nobody is being asked. */
class TimeLimit {
  #left: number;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #act: (() => void) | undefined;

  constructor(milliseconds: number) {
    this.#left = milliseconds;
  }

  start(act: () => void): void {
    this.#act = act;
    this.#since = performance.now();
    this.#timer = setTimeout(act, this.#left);
  }

  async paused<T>(question: () => Promise<T>): Promise<T> {
    clearTimeout(this.#timer);
    this.#left -= performance.now() - this.#since;
    try {
      return await question();
    } finally {
      if (this.#act) this.start(this.#act);
    }
  }

  pausedAround(prompts: HostPrompts): HostPrompts {
    return { ...prompts, trustHostKey: (ask) => this.paused(() => prompts.trustHostKey(ask)) };
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#act = undefined;
  }
}

async function openSocket(settings: SshSettings, over: Client | undefined, signal: AbortSignal): Promise<Duplex> {
  const { hostName, port, proxyCommand, family } = settings;
  if (over) {
    return new Promise((resolve, reject) => {
      over.forwardOut('127.0.0.1', 0, hostName, port, (error, channel) => {
        if (error) reject(failed(settings, error));
        else resolve(channel);
      });
    });
  }
  if (proxyCommand !== undefined) return runProxy(settings, proxyCommand);
  const socket = connectTcp({ host: hostName, port, family, autoSelectFamily: family === 0, noDelay: true });
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, () => {
      socket.destroy();
      reject(reasonOf(signal));
    });
    socket.once('error', (error) => reject(failed(settings, error)));
    socket.once('connect', () => {
      forget();
      resolve(socket);
    });
  });
}

function runProxy(settings: SshSettings, command: string): Duplex {
  const child = spawn(command, {
    shell: process.platform === 'win32' ? true : '/bin/sh',
    stdio: ['pipe', 'pipe', 'ignore'],
    windowsHide: true,
  });
  const stream = Duplex.from({ writable: child.stdin, readable: child.stdout });
  stream.once('close', () => child.kill());
  child.once('error', (error) => stream.destroy(failed(settings, error)));
  return stream;
}

function tooLong({ alias, hostName, port, connectTimeoutMs }: SshSettings): TuneyardError {
  return new TuneyardError(
    'timed_out',
    l10n.t('{0} did not answer within {1} s at {2}.', alias, inSeconds(connectTimeoutMs), `${hostName}:${port}`),
  );
}

function failed({ alias, hostName, port }: SshSettings, error: Error & { code?: unknown }): TuneyardError {
  if (error instanceof TuneyardError) return error;
  const options = { cause: error, data: { reason: error.message } };
  const address = `${hostName}:${port}`;
  switch (error.code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new TuneyardError(
        'connection_failed',
        l10n.t('{0} cannot be reached: no address is known for the name {1}.', alias, hostName),
        options,
      );
    case 'ECONNREFUSED':
      return new TuneyardError(
        'connection_failed',
        l10n.t('{0} cannot be reached: nothing answers at {1}. Is the SSH server running there?', alias, address),
        options,
      );
    default:
      return new TuneyardError(
        'connection_failed',
        l10n.t('{0} cannot be reached at {1}: {2}.', alias, address, error.message || String(error.code)),
        options,
      );
  }
}

/** The server ended the connection while we were logging in. */
function refused({ alias, user }: SshSettings, { tried }: Authentication, error: Error): TuneyardError {
  return new TuneyardError(
    'auth_failed',
    l10n.t('{0} does not let {1} in: {2}. Tried: {3}.', alias, user, error.message, tried.join(', ')),
    { cause: error, data: { user, tried } },
  );
}
