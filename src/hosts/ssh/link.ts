/** An SSH connection that is up, with the hosts it goes over: the channels on it, and its end. */
import { setMaxListeners } from 'node:events';
import { constants } from 'node:os';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Client, ClientChannel, SFTPWrapper } from 'ssh2';
import { within } from '../limits';
import { type Connecting, connectHop } from './connectHop';
import { loadSsh2 } from './ssh2';
import type { SshSettings } from './sshSettings';

/** A channel is there or refused within this time, or the connection is dead. */
const OPEN_MS = 30_000;

export interface Session {
  channel: ClientChannel;
  /** The exit status, 128 + n where signal n ended it; undefined where the channel closed without one. */
  status: Promise<number | undefined>;
}

/** The server has no more channels to give on this connection. */
export class NoMoreChannels extends Error {}

export class Link {
  readonly #end = new AbortController();
  readonly #client: Client;

  /** @param clients the hops, the host itself last */
  constructor(
    private readonly label: string,
    private readonly clients: readonly Client[],
  ) {
    this.#client = clients.at(-1) as Client;
    // Everything that is going on listens for the end
    setMaxListeners(0, this.#end.signal);
    for (const client of clients) {
      client.on('error', (error) => this.close(this.#lost(error.message)));
      client.on('close', () => this.close(this.#lost()));
      client.on('end', () => this.close(this.#lost()));
    }
  }

  /** Aborted with `connection_lost` when the connection is over. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends it; what is pending is rejected. */
  close(reason: TuneyardError = this.#lost(l10n.t('disconnected'))): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort(reason);
    for (const client of [...this.clients].reverse()) {
      client.end();
      // One that is stalled hears no goodbye
      setTimeout(() => client.destroy(), 500).unref();
    }
  }

  async exec(command: string, signal?: AbortSignal): Promise<Session> {
    let status: Promise<number | undefined> | undefined;
    const channel = await this.#open<ClientChannel>(
      (done) =>
        this.#client.exec(command, (error, opened) => {
          // Here and now: a short command's end may be read from the same packet
          if (opened) status = statusOf(opened);
          done(error, opened);
        }),
      signal,
    );
    return { channel, status: status as Promise<number | undefined> };
  }

  async sftp(signal?: AbortSignal): Promise<SFTPWrapper> {
    try {
      return await this.#open<SFTPWrapper>((done) => this.#client.sftp(done), signal);
    } catch (error) {
      if (!(error instanceof TuneyardError) || error.code !== 'remote_failed') throw error;
      throw new TuneyardError(
        'remote_failed',
        l10n.t(
          '{0} takes no files over SFTP: {1}. Its SSH server needs the sftp subsystem, and start-up files of its shell must print nothing.',
          this.label,
          (error.cause as Error).message,
        ),
        { cause: error.cause },
      );
    }
  }

  async #open<T extends { end(): unknown; destroy(): unknown }>(
    request: (done: (error: Error | undefined, channel: T) => void) => void,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    let abandoned = false;
    const opening = new Promise<T>((resolve, reject) => {
      request((error, channel) => {
        if (error) reject(refusal(this.label, error));
        else {
          resolve(channel);
          if (abandoned) channel.destroy();
        }
      });
    });
    try {
      return await within(opening, {
        signals: [signal, this.ended],
        timeoutMs: OPEN_MS,
        timeout: () => l10n.t('{0} does not answer any more.', this.label),
      });
    } catch (error) {
      abandoned = true;
      if (error instanceof TuneyardError && error.code === 'timed_out') this.close(this.#lost(error.message));
      throw this.ended.aborted && !signal?.aborted ? this.ended.reason : error;
    }
  }

  #lost(why?: string): TuneyardError {
    return new TuneyardError(
      'connection_lost',
      why === undefined
        ? l10n.t('The connection to {0} was lost.', this.label)
        : l10n.t('The connection to {0} was lost: {1}.', this.label, why.replace(/\.$/, '')),
    );
  }
}

/** Goes over every hop; what was connected on a way that fails is ended. */
export async function openLink(label: string, route: readonly SshSettings[], connecting: Connecting): Promise<Link> {
  const ssh2 = await loadSsh2();
  const clients: Client[] = [];
  try {
    for (const settings of route) clients.push(await connectHop(ssh2, settings, clients.at(-1), connecting));
  } catch (error) {
    for (const client of clients.reverse()) {
      client.on('error', () => {});
      client.end();
    }
    throw error;
  }
  return new Link(label, clients);
}

function statusOf(channel: ClientChannel): Promise<number | undefined> {
  return new Promise((resolve) => {
    channel.on('error', () => {});
    channel.once('exit', (code: number | null, name?: string) => {
      resolve(code ?? 128 + (constants.signals[name as NodeJS.Signals] ?? 0));
    });
    channel.once('close', () => resolve(undefined));
  });
}

function refusal(label: string, error: Error & { reason?: unknown }): Error {
  if (error instanceof TuneyardError) return error;
  if (error.message.includes('Channel open failure')) return new NoMoreChannels(error.message);
  if (error.message === 'Not connected' || error.message === 'No response from server') {
    return new TuneyardError('connection_lost', l10n.t('The connection to {0} was lost.', label), { cause: error });
  }
  return new TuneyardError(
    'remote_failed',
    l10n.t('{0} does not do what is needed over SSH: {1}.', label, error.message),
    { cause: error },
  );
}
