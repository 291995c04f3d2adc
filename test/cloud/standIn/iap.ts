/**
 * The relay of Identity-Aware Proxy, as the client in Google's Cloud SDK expects it: sessions that outlive their
 * WebSocket, frames with acknowledgements, and its closing codes. Written apart from the product's client.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';

export interface IapStandInOptions {
  /** Where the port of a VM is really to be found; undefined: there is no such VM, or it is not running. */
  target(query: {
    project: string;
    zone: string;
    instance: string;
    port: number;
  }): { host: string; port: number } | undefined;
  /** Whether a token may tunnel. */
  allows(token: string): boolean;
}

interface Session {
  id: string;
  backend: Socket;
  client: WebSocket | undefined;
  /** Bytes from the client that the VM was given. */
  received: number;
  acknowledged: number;
  /** Bytes for the client that it has not confirmed, and how many it has. */
  unconfirmed: Buffer;
  confirmed: number;
  isOver: boolean;
}

const PATH = /^\/v4\/(connect|reconnect)$/;
const WINDOW = 16384;

export class IapStandIn {
  readonly #server = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('relay.tunnel.cloudproxy.app') ? 'relay.tunnel.cloudproxy.app' : false),
  });
  readonly #sessions = new Map<string, Session>();
  /** What clients asked for, with their query. */
  readonly requests: string[] = [];
  /** Acknowledgements that clients sent. */
  acks = 0;
  /** The largest piece that a client sent. */
  largest = 0;

  constructor(private readonly options: IapStandInOptions) {}

  /** For the `upgrade` event of an HTTP server. False: it is not for the relay. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const url = new URL(request.url ?? '/', 'http://relay');
    if (!PATH.test(url.pathname)) return false;
    this.requests.push(`${url.pathname}${url.search}`);
    const { origin, authorization = '' } = request.headers;
    if (origin !== 'bot:iap-tunneler') return refuse(socket, 400, 'Bad Request');
    if (request.headers['sec-websocket-protocol'] !== 'relay.tunnel.cloudproxy.app')
      return refuse(socket, 400, 'Bad Request');
    if (!authorization.startsWith('Bearer ')) return refuse(socket, 401, 'Unauthorized');
    this.#server.handleUpgrade(request, socket, head, (client) => {
      if (!this.options.allows(authorization.slice('Bearer '.length))) client.close(4033, 'not authorized');
      else if (url.pathname.endsWith('/connect')) this.#connect(client, url.searchParams);
      else this.#reconnect(client, url.searchParams);
    });
    return true;
  }

  /** WebSockets break without a word; sessions stay. */
  drop(): void {
    for (const { client } of this.#sessions.values()) client?.terminate();
  }

  /** As the relay does when a token has run out: log in anew, and go on. */
  askForLogin(): void {
    for (const { client } of this.#sessions.values()) client?.close(4004, 'reauthentication required');
  }

  close(): void {
    for (const { client, backend } of this.#sessions.values()) {
      client?.terminate();
      backend.destroy();
    }
    this.#server.close();
  }

  #connect(client: WebSocket, query: URLSearchParams): void {
    const [project, zone, instance, port] = ['project', 'zone', 'instance', 'port'].map((key) => query.get(key));
    if (!project || !zone || !instance || !port || query.get('interface') !== 'nic0')
      return void client.close(4000, 'bad request');
    const target = this.options.target({ project, zone, instance, port: Number(port) });
    if (!target) return void client.close(4047, 'instance does not exist or is stopped');
    const backend = connect(target.port, target.host);
    const session: Session = {
      id: randomBytes(24).toString('base64url'),
      backend,
      client: undefined,
      received: 0,
      acknowledged: 0,
      unconfirmed: Buffer.alloc(0),
      confirmed: 0,
      isOver: false,
    };
    backend.once('connect', () => {
      this.#sessions.set(session.id, session);
      const id = Buffer.from(session.id);
      const frame = Buffer.alloc(6 + id.length);
      frame.writeUInt16BE(1, 0);
      frame.writeUInt32BE(id.length, 2);
      id.copy(frame, 6);
      client.send(frame);
      this.#attach(session, client);
    });
    backend.on('error', () => {
      if (!this.#sessions.has(session.id)) client.close(4003, 'failed to connect to backend');
    });
    backend.on('data', (data) => {
      session.unconfirmed = Buffer.concat([session.unconfirmed, data]);
      sendData(session, data);
      // Who confirms nothing gets no more.
      if (session.unconfirmed.length > 64 * WINDOW) backend.pause();
    });
    backend.on('close', () => {
      session.isOver = true;
      session.client?.close(1000);
    });
  }

  #reconnect(client: WebSocket, query: URLSearchParams): void {
    const session = this.#sessions.get(query.get('sid') ?? '');
    if (!session || !query.get('zone')) return void client.close(4000, 'unknown session');
    confirm(session, Number(query.get('ack')));
    const frame = Buffer.alloc(10);
    frame.writeUInt16BE(2, 0);
    frame.writeBigUInt64BE(BigInt(session.received), 2);
    client.send(frame);
    session.acknowledged = session.received;
    this.#attach(session, client);
    sendData(session, session.unconfirmed);
    if (session.isOver) client.close(1000);
  }

  #attach(session: Session, client: WebSocket): void {
    session.client = client;
    client.on('error', () => {});
    client.on('close', (code) => {
      if (session.client !== client) return;
      session.client = undefined;
      // It said goodbye: the VM's end of it goes as well.
      if (code !== 1006 && code !== 4004) session.backend.destroy();
    });
    client.on('message', (message: Buffer) => this.#take(session, client, message));
  }

  #take(session: Session, client: WebSocket, message: Buffer): void {
    const tag = message.readUInt16BE(0);
    if (tag === 7) {
      this.acks++;
      confirm(session, Number(message.readBigUInt64BE(2)));
      return;
    }
    const size = message.readUInt32BE(2);
    if (tag !== 4 || size > WINDOW || message.length !== 6 + size) return void client.close(4000, 'bad frame');
    this.largest = Math.max(this.largest, size);
    session.received += size;
    session.backend.write(message.subarray(6));
    if (session.received - session.acknowledged <= 2 * WINDOW) return;
    const frame = Buffer.alloc(10);
    frame.writeUInt16BE(7, 0);
    frame.writeBigUInt64BE(BigInt(session.received), 2);
    client.send(frame);
    session.acknowledged = session.received;
  }
}

function sendData(session: Session, data: Buffer): void {
  for (let from = 0; from < data.length && session.client?.readyState === WebSocket.OPEN; from += WINDOW) {
    const piece = data.subarray(from, from + WINDOW);
    const frame = Buffer.alloc(6 + piece.length);
    frame.writeUInt16BE(4, 0);
    frame.writeUInt32BE(piece.length, 2);
    piece.copy(frame, 6);
    session.client.send(frame);
  }
}

function confirm(session: Session, bytes: number): void {
  session.unconfirmed = session.unconfirmed.subarray(bytes - session.confirmed);
  session.confirmed = bytes;
  if (session.unconfirmed.length <= 64 * WINDOW) session.backend.resume();
}

function refuse(socket: Duplex, status: number, text: string): true {
  socket.end(`HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  return true;
}
