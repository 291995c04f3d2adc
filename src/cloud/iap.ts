/**
 * A TCP connection to a VM without an address, through Google's Identity-Aware Proxy: a WebSocket whose messages are
 * frames of its "relay" protocol, big-endian. There is no description of it but the client in Google's Cloud SDK.
 *
 * | frame | content behind its tag (16 bits) |
 * |---|---|
 * | CONNECT_SUCCESS_SID | length (32 bits), session id: text |
 * | RECONNECT_SUCCESS_ACK | bytes that the relay has had from us: 64 bits |
 * | DATA | length (32 bits), at most 16 KiB |
 * | ACK | bytes had so far: 64 bits |
 *
 * A WebSocket that breaks is replaced: the session goes on under its id, and what was not acknowledged is sent again.
 */
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import WebSocket from 'ws';

export interface IapTarget {
  project: string;
  zone: string;
  instance: string;
  /** Default 22. */
  port?: number;
}

export interface IapOptions {
  /** An access token that is good now. */
  token(): Promise<string>;
  /** Default Google's. Where Compute Engine is asked elsewhere, the relay is there as well: {@link iapEndpoint}. */
  endpoint?: string;
  signal?: AbortSignal;
}

const ENDPOINT = 'wss://tunnel.cloudproxy.app/v4';
const SUBPROTOCOL = 'relay.tunnel.cloudproxy.app';
/** No page in a browser can say this; the relay asks for it. */
const ORIGIN = 'bot:iap-tunneler';

const TAG = { connected: 1, reconnected: 2, data: 4, ack: 7 } as const;
const MAX_DATA = 16384;
/** More than this is acknowledged: the relay counts on it. */
const ACK_AFTER = 2 * MAX_DATA;
/** Sent and not acknowledged: what would have to be sent again, and is kept for it. */
const MAX_UNCONFIRMED = 1 << 20;
const OPEN_MS = 30_000;
/** A laptop that wakes; the relay keeps a session for some minutes. */
const RECONNECT_MS = 120_000;
/** A network that is gone says nothing: only an answer tells. */
const PING_MS = 20_000;

/** What the relay says when it closes a WebSocket for good. */
const CLOSE = { noBackend: 4003, reauthenticate: 4004, unauthenticated: 4010, unauthorized: 4033 } as const;

export function iapEndpoint(computeEndpoint: string | undefined): string {
  return computeEndpoint ? `${computeEndpoint.replace(/^http/, 'ws').replace(/\/$/, '')}/v4` : ENDPOINT;
}

/**
 * @returns once the VM's port has answered
 * @throws TuneyardError `cloud_permission`, `cloud_credentials`, `connection_failed`, `timed_out`, `cancelled`
 */
export async function openIapTunnel(target: IapTarget, options: IapOptions): Promise<Duplex> {
  const tunnel = new IapTunnel(target, options);
  // What it fails with is thrown here.
  tunnel.on('error', () => {});
  try {
    await tunnel.open();
    return tunnel;
  } catch (error) {
    tunnel.destroy();
    throw error;
  }
}

/** Both directions until one end closes: what `ProxyCommand` of SSH asks for. */
export async function relayStreams(
  tunnel: Duplex,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    tunnel.on('error', reject);
    tunnel.on('close', () => resolve());
    output.on('error', () => tunnel.destroy());
    input.pipe(tunnel);
    tunnel.pipe(output, { end: false });
  });
}

class IapTunnel extends Duplex {
  #socket: WebSocket | undefined;
  #session: string | undefined;
  #received = 0;
  #acknowledged = 0;
  #confirmed = 0;
  /** Sent, and not confirmed yet. */
  #unconfirmed: Buffer[] = [];
  #unconfirmedBytes = 0;
  /** Waits until the relay has confirmed more. */
  #resumeWriting: (() => void) | undefined;
  #isPaused = false;
  #isConnected = false;
  #isOver = false;
  #ping: NodeJS.Timeout | undefined;

  constructor(
    private readonly target: IapTarget,
    private readonly options: IapOptions,
  ) {
    super({ allowHalfOpen: false });
  }

  async open(): Promise<void> {
    await this.#connect();
    this.options.signal?.addEventListener('abort', this.#abort, { once: true });
    if (this.options.signal?.aborted) this.#abort();
  }

  readonly #abort = () => this.destroy(cancelled());

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    for (let from = 0; from < chunk.length; from += MAX_DATA) {
      // A copy: what is written may be used again by whoever wrote it.
      const piece = Buffer.from(chunk.subarray(from, from + MAX_DATA));
      this.#unconfirmed.push(piece);
      this.#unconfirmedBytes += piece.length;
      if (this.#isConnected) this.#sendData(piece);
    }
    if (this.#unconfirmedBytes < MAX_UNCONFIRMED) done();
    else this.#resumeWriting = () => done();
  }

  override _final(done: (error?: Error | null) => void): void {
    // The relay knows no half of a connection: its end is the end.
    done();
    this.destroy();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#isOver = true;
    clearInterval(this.#ping);
    this.options.signal?.removeEventListener('abort', this.#abort);
    const socket = this.#socket;
    if (socket?.readyState === WebSocket.OPEN) socket.close(1000);
    else socket?.terminate();
    done(error);
  }

  /** Resolves when the session stands. */
  async #connect(): Promise<void> {
    const url = this.#url();
    const token = await this.options.token();
    if (this.#isOver) throw cancelled();
    const socket = new WebSocket(url, SUBPROTOCOL, {
      headers: { authorization: `Bearer ${token}` },
      origin: ORIGIN,
      perMessageDeflate: false,
      handshakeTimeout: OPEN_MS,
    });
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(cancelled());
      this.options.signal?.addEventListener('abort', abort, { once: true });
      const limit = setTimeout(() => reject(timedOut(this.target)), OPEN_MS);
      const settle = () => {
        clearTimeout(limit);
        this.options.signal?.removeEventListener('abort', abort);
      };
      let failure: TuneyardError | undefined;
      socket.on('unexpected-response', (request, response) => {
        failure = refused(this.target, response.statusCode ?? 0);
        request.destroy();
        socket.terminate();
      });
      socket.on('error', (error) => {
        failure ??= unreachable(this.target, error.message);
      });
      socket.on('close', (code, reason) => {
        settle();
        reject(failure ?? closed(this.target, code, reason.toString()));
        if (this.#socket === socket && this.#isConnected) this.#lost(code, reason.toString());
      });
      socket.on('message', (message: Buffer) => {
        try {
          this.#take(message);
        } catch (error) {
          this.destroy(error as Error);
        }
        if (this.#isConnected) {
          settle();
          resolve();
        }
      });
    }).catch((error: unknown) => {
      socket.terminate();
      throw error;
    });
    this.#watch(socket);
  }

  #url(): string {
    const { project, zone, instance, port = 22 } = this.target;
    const base = this.options.endpoint ?? ENDPOINT;
    const query: Record<string, string> =
      this.#session === undefined
        ? { project, port: String(port), newWebsocket: 'True', zone, instance, interface: 'nic0' }
        : { sid: this.#session, ack: String(this.#received), newWebsocket: 'True', zone };
    return `${base}/${this.#session === undefined ? 'connect' : 'reconnect'}?${new URLSearchParams(query)}`;
  }

  #take(message: Buffer): void {
    const tag = message.readUInt16BE(0);
    switch (tag) {
      case TAG.connected:
        this.#session = message.toString('utf8', 6, 6 + message.readUInt32BE(2));
        this.#isConnected = true;
        for (const piece of this.#unconfirmed) this.#sendData(piece);
        break;
      case TAG.reconnected:
        this.#confirm(Number(message.readBigUInt64BE(2)));
        this.#isConnected = true;
        // It knows from the address how much we have had.
        this.#acknowledged = this.#received;
        for (const piece of this.#unconfirmed) this.#sendData(piece);
        break;
      case TAG.ack:
        this.#confirm(Number(message.readBigUInt64BE(2)));
        break;
      case TAG.data:
        this.#receive(message.subarray(6, 6 + message.readUInt32BE(2)));
        break;
      default:
      // Frames of a later protocol may be passed over, as Google's own client does.
    }
  }

  #receive(data: Buffer): void {
    this.#received += data.length;
    if (this.#received - this.#acknowledged > ACK_AFTER) {
      const frame = Buffer.alloc(10);
      frame.writeUInt16BE(TAG.ack, 0);
      frame.writeBigUInt64BE(BigInt(this.#received), 2);
      this.#socket?.send(frame, () => {});
      this.#acknowledged = this.#received;
    }
    if (!this.push(data)) {
      this.#isPaused = true;
      this.#socket?.pause();
    }
  }

  #sendData(piece: Buffer): void {
    const frame = Buffer.alloc(6 + piece.length);
    frame.writeUInt16BE(TAG.data, 0);
    frame.writeUInt32BE(piece.length, 2);
    piece.copy(frame, 6);
    this.#socket?.send(frame, () => {});
  }

  #confirm(bytes: number): void {
    let more = bytes - this.#confirmed;
    if (more < 0 || more > this.#unconfirmedBytes) {
      throw unreachable(this.target, l10n.t('it confirms what was never sent'));
    }
    this.#confirmed = bytes;
    this.#unconfirmedBytes -= more;
    while (more > 0) {
      const [first] = this.#unconfirmed as [Buffer];
      if (first.length <= more) this.#unconfirmed.shift();
      else this.#unconfirmed[0] = first.subarray(more);
      more -= Math.min(more, first.length);
    }
    if (this.#unconfirmedBytes < MAX_UNCONFIRMED) {
      this.#resumeWriting?.();
      this.#resumeWriting = undefined;
    }
  }

  #watch(socket: WebSocket): void {
    clearInterval(this.#ping);
    let isAlive = true;
    socket.on('pong', () => {
      isAlive = true;
    });
    this.#ping = setInterval(() => {
      // Who does not read does not see the answer either.
      if (!isAlive && !this.#isPaused) socket.terminate();
      isAlive = false;
      socket.ping(undefined, undefined, () => {});
    }, PING_MS);
    this.#ping.unref();
    // Read on from where a reader had stopped it.
    this.#isPaused = false;
  }

  /** A closing message is the VM's end of the connection; without one, or to log in anew, it is only the WebSocket's. */
  #lost(code: number, reason: string): void {
    this.#isConnected = false;
    clearInterval(this.#ping);
    if (this.#isOver) return;
    const isBroken = code === 1006 || code === CLOSE.reauthenticate;
    if (isBroken) void this.#reconnect();
    else if (code === 1000 || code === 1005) this.#end();
    else this.destroy(closed(this.target, code, reason));
  }

  async #reconnect(): Promise<void> {
    const until = performance.now() + RECONNECT_MS;
    for (let wait = 100; !this.#isOver; wait = Math.min(2 * wait, 5000)) {
      try {
        return await this.#connect();
      } catch (error) {
        const isLasting =
          error instanceof TuneyardError && ['cloud_permission', 'cancelled', 'vm_not_found'].includes(error.code);
        if (isLasting || performance.now() > until) {
          this.destroy(lost(this.target, error));
          return;
        }
      }
      await sleep(wait);
    }
  }

  #end(): void {
    this.#isOver = true;
    this.push(null);
    this.end();
  }
}

const cancelled = () => new TuneyardError('cancelled', l10n.t('Cancelled.'));

const timedOut = ({ instance }: IapTarget) =>
  new TuneyardError('timed_out', l10n.t('Identity-Aware Proxy does not answer for {0}; try again.', instance));

const lost = ({ instance }: IapTarget, cause: unknown) =>
  new TuneyardError('connection_lost', l10n.t('The tunnel to {0} broke, and cannot be mended.', instance), { cause });

const unreachable = ({ instance }: IapTarget, why: string) =>
  new TuneyardError('connection_failed', l10n.t('Identity-Aware Proxy cannot be reached for {0}: {1}', instance, why));

/** The WebSocket was not even begun. */
function refused(target: IapTarget, status: number): TuneyardError {
  if (status === 401 || status === 403) return unauthorized(target);
  if (status === 404) {
    return new TuneyardError('vm_not_found', l10n.t('There is no VM {0} in {1}.', target.instance, target.zone));
  }
  return unreachable(target, l10n.t('status {0}', status));
}

function closed(target: IapTarget, code: number, reason: string): TuneyardError {
  const { instance, port = 22 } = target;
  if (code === CLOSE.unauthorized) return unauthorized(target);
  if (code === CLOSE.unauthenticated) {
    return new TuneyardError(
      'cloud_credentials',
      l10n.t('Identity-Aware Proxy does not take the credentials; log in again.'),
    );
  }
  if (code === CLOSE.noBackend) {
    return new TuneyardError(
      'connection_failed',
      l10n.t(
        'Nothing answers at port {0} of {1}: it may be starting, or no firewall rule lets Identity-Aware Proxy (35.235.240.0/20) in.',
        port,
        instance,
      ),
      {
        data: {
          command: `gcloud compute firewall-rules create allow-ssh-from-iap --project=${target.project} --direction=INGRESS --allow=tcp:22 --source-ranges=35.235.240.0/20`,
        },
      },
    );
  }
  return unreachable(target, reason === '' ? l10n.t('closed with code {0}', code) : `${reason} (${code})`);
}

function unauthorized({ instance, project }: IapTarget): TuneyardError {
  return new TuneyardError(
    'cloud_permission',
    l10n.t('You may not tunnel to {0}: the role roles/iap.tunnelResourceAccessor in {1} is needed.', instance, project),
    { data: { role: 'roles/iap.tunnelResourceAccessor' } },
  );
}
