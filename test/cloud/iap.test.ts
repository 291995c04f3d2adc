/** A VM without an address is reached all the same, and a broken WebSocket is no broken connection. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { iapEndpoint, openIapTunnel } from '@host/cloud/iap';
import { Client } from 'ssh2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildRunner } from '../support/runner';
import { startChaosProxy } from '../support/ssh/chaosProxy';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { GoogleStandIn } from './standIn/googleStandIn';
import { IapStandIn } from './standIn/iap';

const PROGRAM = fileURLToPath(new URL('../../remote-runner/bin/tuneyard.mjs', import.meta.url));

let relay: IapStandIn;
let http: HttpServer;
/** Sends back whatever comes. */
let echo: Server;
let target: { host: string; port: number } | undefined;
const backends: Socket[] = [];
let tokens = 0;

const place = { project: 'p', zone: 'us-central1-a', instance: 'vm' };
const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
const endpoint = (port = portOf(http)) => iapEndpoint(`http://127.0.0.1:${port}`);
const token = async () => `good-${++tokens}`;
const open = (options: Partial<Parameters<typeof openIapTunnel>[1]> = {}) =>
  openIapTunnel(place, { token, endpoint: endpoint(), ...options });

beforeEach(async () => {
  echo = createServer((socket) => {
    backends.push(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  target = { host: '127.0.0.1', port: portOf(echo) };
  relay = new IapStandIn({
    target: ({ project, zone, instance, port }) =>
      project === 'p' && zone === 'us-central1-a' && instance === 'vm' && port === 22 ? target : undefined,
    allows: (given) => given.startsWith('good'),
  });
  http = createHttpServer((_, response) => response.writeHead(404).end());
  http.on('upgrade', (request, socket, head) => relay.upgrade(request, socket, head) || socket.destroy());
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
});

afterEach(() => {
  for (const socket of backends.splice(0)) socket.destroy();
  relay.close();
  http.close();
  http.closeAllConnections();
  echo.close();
});

/** Writes all of it, and reads as much back. */
async function there(tunnel: Duplex, data: Buffer, meanwhile?: (got: number) => void): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let got = 0;
  const read = (async () => {
    for await (const piece of tunnel.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      pieces.push(piece);
      got += piece.length;
      meanwhile?.(got);
      if (got >= data.length) return;
    }
  })();
  tunnel.write(data);
  await read;
  return Buffer.concat(pieces);
}

const sum = (data: Buffer) => createHash('sha256').update(data).digest('hex');

describe('a tunnel through Identity-Aware Proxy', () => {
  it('carries megabytes both ways unharmed, in pieces and with the acknowledgements that the relay asks for', async () => {
    const tunnel = await open();
    const data = randomBytes(5_000_000);
    expect(sum(await there(tunnel, data))).toBe(sum(data));
    expect(relay.largest).toBe(16384);
    // At most every 32 KiB, at least every 64.
    expect(relay.acks).toBeGreaterThan(5_000_000 / 65_536);
    expect(relay.acks).toBeLessThan(5_000_000 / 32_768 + 1);
    tunnel.destroy();
    expect(relay.requests).toEqual([
      '/v4/connect?project=p&port=22&newWebsocket=True&zone=us-central1-a&instance=vm&interface=nic0',
    ]);
  });

  it('goes on without a byte lost or doubled when its WebSocket breaks, again and again', async () => {
    const proxy = await startChaosProxy(portOf(http));
    const tunnel = await open({ endpoint: endpoint(proxy.port) });
    const data = randomBytes(4_000_000);
    const cuts = [1, 300_000, 900_001, 1_500_003, 3_900_000];
    const got = await there(tunnel, data, (bytes) => {
      if (bytes < cuts[0]!) return;
      cuts.shift();
      proxy.drop();
    });
    expect(sum(got)).toBe(sum(data));
    expect(relay.requests.filter((each) => each.startsWith('/v4/reconnect?sid=')).length).toBeGreaterThanOrEqual(4);
    tunnel.destroy();
    await proxy.dispose();
  });

  it('logs in anew with a fresh token when the relay asks for it', async () => {
    const tunnel = await open();
    const before = tokens;
    let asked = false;
    const data = randomBytes(600_000);
    const got = await there(tunnel, data, (bytes) => {
      if (asked || bytes < 100_000) return;
      asked = true;
      relay.askForLogin();
    });
    expect(sum(got)).toBe(sum(data));
    expect(tokens).toBe(before + 1);
    tunnel.destroy();
  });

  it('does not fill the memory when nobody reads', async () => {
    target = undefined;
    let sent = 0;
    const flood = createServer((socket) => {
      socket.on('error', () => {});
      const piece = Buffer.alloc(65_536);
      const more = () => {
        while (sent < 64 << 20) {
          sent += piece.length;
          if (!socket.write(piece)) return void socket.once('drain', more);
        }
      };
      more();
    }).listen(0, '127.0.0.1');
    await once(flood, 'listening');
    target = { host: '127.0.0.1', port: portOf(flood) };
    const tunnel = await open();
    let before = -1;
    // Until nothing moves any more.
    while (sent !== before) {
      before = sent;
      await sleep(300);
    }
    expect(sent).toBeLessThan(32 << 20);
    tunnel.destroy();
    flood.close();
  });

  it('ends when the VM ends the connection', async () => {
    const tunnel = await open();
    const ended = once(tunnel, 'end');
    tunnel.resume();
    for (const socket of backends) socket.end();
    await ended;
  });

  it('says what is missing: the role, the firewall rule, the VM', async () => {
    await expect(open({ token: async () => 'bad' })).rejects.toMatchObject({
      code: 'cloud_permission',
      message: expect.stringContaining('roles/iap.tunnelResourceAccessor'),
    });
    await expect(openIapTunnel({ ...place, instance: 'other' }, { token, endpoint: endpoint() })).rejects.toMatchObject(
      {
        code: 'connection_failed',
        message: expect.stringContaining('does not exist or is stopped'),
      },
    );
    echo.close();
    await once(echo, 'close');
    await expect(open()).rejects.toMatchObject({
      code: 'connection_failed',
      data: { command: expect.stringContaining('--source-ranges=35.235.240.0/20') },
    });
  });

  it('is given up at once when it is cancelled', async () => {
    const abort = new AbortController();
    const stuck = createServer(() => {}).listen(0, '127.0.0.1');
    await once(stuck, 'listening');
    const opening = open({ endpoint: endpoint(portOf(stuck)), signal: abort.signal });
    const failed = expect(opening).rejects.toMatchObject({ code: 'cancelled' });
    await sleep(50);
    abort.abort();
    await failed;
    stuck.close();
  });

  describe.skipIf(sshdMissing)(`to a VM that was made without an address (${sshdMissing ?? 'with sshd'})`, () => {
    it('is what “tuneyard vm” logs in through, from making it ready to running a command on it', async () => {
      await buildRunner();
      await using google = await GoogleStandIn.start({ operationMs: 50, bootMs: 50, driverMs: 50 });
      const home = await mkdtemp(join(tmpdir(), 'tuneyard-iap-'));
      const env = {
        ...process.env,
        TUNEYARD_HOME: home,
        TUNEYARD_GCE_ENDPOINT: google.endpoint,
        TUNEYARD_GCE_USER: userInfo().username,
        TUNEYARD_GCE_SSH_PORT: String(google.sshPort),
        GOOGLE_APPLICATION_CREDENTIALS: await google.credentialsFile(),
      };
      const vm = (...words: string[]) => promisify(execFile)(process.execPath, [PROGRAM, 'vm', ...words], { env });
      const place = ['--machine-type', 'g2-standard-4', '--zone', 'us-central1-a'];
      await vm('create', 'hidden', ...place, '--iap', '--bare', '--yes');
      expect(google.instance('hidden').options.external).toBe(false);
      const before = google.iap.requests.length;
      expect(before).toBeGreaterThan(0);
      const { stdout } = await vm('ssh', 'hidden', 'echo', '$TUNEYARD_VM');
      expect(stdout).toBe('hidden\n');
      expect(google.iap.requests.length).toBe(before + 1);
      await rm(home, { recursive: true, force: true });
    });
  });

  describe.skipIf(sshdMissing)(`under SSH (${sshdMissing ?? 'with sshd'})`, () => {
    it('a command runs on the VM, and its output arrives, while WebSockets break', async () => {
      const sshd: Sshd = await startSshd();
      target = { host: '127.0.0.1', port: sshd.port };
      const client = new Client();
      client.connect({
        sock: (await open()) as never,
        username: sshd.user,
        privateKey: await readFile(sshd.clientKey),
        hostVerifier: () => true,
      });
      await once(client, 'ready');
      const output = await new Promise<string>((resolve, reject) => {
        client.exec('seq 1 200000 | sha256sum', (error, stream) => {
          if (error) return reject(error);
          let text = '';
          stream.on('data', (piece: Buffer) => {
            text += piece;
          });
          stream.on('close', () => resolve(text));
          relay.drop();
        });
      });
      const numbers = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join('');
      expect(output.slice(0, 64)).toBe(sum(Buffer.from(numbers)));
      client.end();
      await sshd.dispose();
    });
  });
});
