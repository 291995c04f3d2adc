/**
 * The metadata server of one VM, as https://cloud.google.com/compute/docs/metadata describes it: what the watchdog reads
 * and writes. Whatever is not asked for properly is refused as Google refuses it.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface MetadataSource {
  instance(): { project: string; zone: string; name: string; id: string };
  /** Metadata items of the instance. */
  attributes(): Record<string, string>;
  preempted(): boolean;
  maintenanceEvent(): string;
  /** Undefined: the VM has none. */
  serviceAccount(): { email: string; scopes: string[] } | undefined;
  token(): { access_token: string; expires_in: number };
  /** False where guest attributes are not enabled. */
  setGuestAttribute(namespace: string, key: string, value: string): boolean;
}

export interface MetadataServerStandIn {
  /** For GCE_METADATA_HOST. */
  host: string;
  /** Tells those who wait for a change to look again. */
  changed(): void;
  /** Answers nobody while it is away. */
  setAway(isAway: boolean): void;
  close(): Promise<void>;
}

const PREFIX = '/computeMetadata/v1/';
/** Google's own limits: 256 bytes of a key, 32 KiB of a value. */
const KEY_BYTES = 256;
const VALUE_BYTES = 32 << 10;

export async function startMetadataServer(source: MetadataSource): Promise<MetadataServerStandIn> {
  const waiting = new Set<() => void>();
  let isAway = false;
  const server = createServer((request, response) => {
    if (isAway) return void request.socket.destroy();
    answer(source, waiting, request, response).catch(() => request.socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    changed: () => {
      for (const wake of [...waiting]) wake();
    },
    setAway: (away) => {
      isAway = away;
      if (away) server.closeAllConnections();
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      for (const wake of [...waiting]) wake();
    },
  };
}

async function answer(
  source: MetadataSource,
  waiting: Set<() => void>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('metadata-flavor', 'Google');
  response.setHeader('server', 'Metadata Server for VM');
  const url = new URL(request.url ?? '/', 'http://metadata');
  if (request.headers['metadata-flavor'] !== 'Google' || request.headers['x-forwarded-for'] !== undefined) {
    return end(response, 403, 'Missing Metadata-Flavor:Google header.');
  }
  if (!url.pathname.startsWith(PREFIX)) return end(response, 404, 'Not found');
  const path = url.pathname.slice(PREFIX.length);
  if (request.method === 'PUT') return put(source, path, request, response);
  if (request.method !== 'GET') return end(response, 405, 'Method not allowed');

  const read = () => valueAt(source, path, url.searchParams);
  let value = read();
  if (value === undefined) return end(response, 404, 'Not found');
  if (url.searchParams.get('wait_for_change') === 'true') {
    // Without the tag of what was last seen it is waited for the next change.
    const last = url.searchParams.get('last_etag') ?? etagOf(value);
    const until = performance.now() + Number(url.searchParams.get('timeout_sec') ?? 3600) * 1000;
    while (value !== undefined && etagOf(value) === last && performance.now() < until && !response.destroyed) {
      await change(waiting, until - performance.now(), response);
      value = read();
    }
    if (value === undefined) return end(response, 404, 'Not found');
  }
  response.setHeader('etag', etagOf(value));
  response.setHeader('content-type', value.startsWith('{') ? 'application/json' : 'application/text');
  end(response, 200, value);
}

async function put(source: MetadataSource, path: string, request: IncomingMessage, response: ServerResponse) {
  const [, namespace, key, ...more] = /^instance\/guest-attributes\/([^/]+)\/([^/]+)(\/.*)?$/.exec(path) ?? [];
  if (!namespace || !key || more[0] !== undefined) return end(response, 404, 'Not found');
  let value = '';
  for await (const piece of request.setEncoding('utf8')) value += piece;
  if (Buffer.byteLength(`${namespace}/${key}`) > KEY_BYTES || Buffer.byteLength(value) > VALUE_BYTES) {
    return end(response, 400, 'Bad Request');
  }
  if (!source.setGuestAttribute(namespace, key, value))
    return end(response, 403, 'Guest attributes endpoint access is disabled.');
  end(response, 200, '');
}

function valueAt(source: MetadataSource, path: string, query: URLSearchParams): string | undefined {
  const { project, zone, name, id } = source.instance();
  const account = source.serviceAccount();
  const isRecursive = query.get('recursive') === 'true';
  const attribute = /^instance\/attributes\/([^/]+)$/.exec(path)?.[1];
  if (attribute !== undefined) return source.attributes()[decodeURIComponent(attribute)];
  switch (path) {
    case 'project/project-id':
      return project;
    case 'instance/id':
      return id;
    case 'instance/name':
      return name;
    case 'instance/zone':
      return `projects/123456789012/zones/${zone}`;
    case 'instance/preempted':
      return source.preempted() ? 'TRUE' : 'FALSE';
    case 'instance/maintenance-event':
      return source.maintenanceEvent();
    case 'instance/attributes/':
      return isRecursive ? JSON.stringify(source.attributes()) : Object.keys(source.attributes()).join('\n');
    case 'instance/service-accounts/default/email':
      return account?.email;
    case 'instance/service-accounts/default/scopes':
      return account?.scopes.map((scope) => `${scope}\n`).join('');
    case 'instance/service-accounts/default/token':
      return account && JSON.stringify({ ...source.token(), token_type: 'Bearer' });
    default:
      return undefined;
  }
}

const etagOf = (value: string): string => createHash('sha256').update(value).digest('hex').slice(0, 16);

function change(waiting: Set<() => void>, limitMs: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      waiting.delete(wake);
      response.off('close', wake);
      resolve();
    };
    const timer = setTimeout(wake, Math.min(limitMs, 2 ** 31 - 1));
    waiting.add(wake);
    response.on('close', wake);
  });
}

function end(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(text);
}
