/**
 * Cloud Storage as far as results are copied to a bucket: uploads at once and resumable ones, lists, downloads, of the
 * JSON interface (https://cloud.google.com/storage/docs/json_api). Objects are kept in memory.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

interface Session {
  bucket: string;
  name: string;
  total: number;
  received: Buffer;
}

export interface StorageOptions {
  buckets: string[];
  /** The status that a request without sufficient rights gets; undefined: it may. */
  refuse?(authorization: string | undefined): 401 | 403 | undefined;
}

/** What a piece of a resumable upload must be a multiple of, the last one excepted. */
const UNIT = 256 << 10;

export class StorageStandIn {
  readonly #objects = new Map<string, Buffer>();
  readonly #sessions = new Map<string, Session>();
  /** Cuts the connection once this many bytes of a piece have come; what came by then is kept in whole units. */
  cutAfter: number[] = [];
  /** Statuses that the next pieces of uploads get in place of an answer. */
  failWith: number[] = [];
  /** What was asked for: method and path with query. */
  readonly requests: string[] = [];

  constructor(private readonly options: StorageOptions) {}

  /** Those that there are. */
  get buckets(): string[] {
    return this.options.buckets;
  }

  /** `BUCKET/NAME` → content. */
  get objects(): ReadonlyMap<string, Buffer> {
    return this.#objects;
  }

  names(bucket: string): string[] {
    return [...this.#objects.keys()]
      .filter((key) => key.startsWith(`${bucket}/`))
      .map((key) => key.slice(bucket.length + 1));
  }

  /** @returns false where the request is not for Cloud Storage */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    const upload = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname);
    const stored = /^\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname);
    const bucket = decodeURIComponent((upload ?? stored)?.[1] ?? '');
    if (bucket === '') return false;
    this.requests.push(`${request.method} ${request.url}`);
    const refused = this.options.refuse?.(request.headers.authorization);
    if (refused !== undefined)
      return fail(response, refused, 'does not have storage.objects.create access to the bucket.');
    if (!this.options.buckets.includes(bucket)) return fail(response, 404, 'The specified bucket does not exist.');
    if (upload) await this.#upload(bucket, url, request, response);
    else this.#read(bucket, stored?.[2] && decodeURIComponent(stored[2]), url, request, response);
    return true;
  }

  async #upload(bucket: string, url: URL, request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const name = url.searchParams.get('name') ?? '';
    const id = url.searchParams.get('upload_id');
    if (id !== null) return this.#piece(this.#sessions.get(id), id, request, response);
    if (request.method !== 'POST' || name === '') return fail(response, 400, 'Required parameter: name');
    if (url.searchParams.get('uploadType') === 'media') {
      return send(response, 200, this.#keep(bucket, name, await all(request)));
    }
    const total = Number(request.headers['x-upload-content-length']);
    if (url.searchParams.get('uploadType') !== 'resumable' || !Number.isInteger(total)) {
      return fail(response, 400, 'Bad Request');
    }
    await all(request);
    const session = randomUUID();
    this.#sessions.set(session, { bucket, name, total, received: Buffer.alloc(0) });
    url.searchParams.set('upload_id', session);
    response.setHeader('location', url.href);
    return send(response, 200, undefined);
  }

  async #piece(
    session: Session | undefined,
    id: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<unknown> {
    if (!session || request.method !== 'PUT') return fail(response, 404, 'Not Found');
    const [, from, to, total] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+)$/.exec(request.headers['content-range'] ?? '') ?? [];
    if (total === undefined || Number(total) !== session.total) return fail(response, 400, 'Invalid Content-Range');
    if (from !== undefined) {
      const start = Number(from);
      const size = Number(to) + 1 - start;
      const isLast = start + size === session.total;
      if (
        Number(request.headers['content-length']) !== size ||
        (!isLast && size % UNIT !== 0) ||
        start > session.received.length
      ) {
        return fail(response, 400, 'Invalid Content-Range');
      }
      const cut = this.cutAfter.shift();
      const { socket } = request;
      const bytes = await all(request, cut);
      const whole = cut === undefined ? bytes : bytes.subarray(0, bytes.length - (bytes.length % UNIT));
      session.received = Buffer.concat([session.received.subarray(0, start), whole]);
      if (cut !== undefined) return socket.destroy();
      const status = this.failWith.shift();
      if (status !== undefined) return fail(response, status, 'Backend Error');
    } else await all(request);
    if (session.received.length < session.total) {
      if (session.received.length > 0) response.setHeader('range', `bytes=0-${session.received.length - 1}`);
      return send(response, 308, undefined);
    }
    this.#sessions.delete(id);
    return send(response, 200, this.#keep(session.bucket, session.name, session.received));
  }

  #read(
    bucket: string,
    name: string | undefined,
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
  ): unknown {
    if (name === undefined) {
      const prefix = url.searchParams.get('prefix') ?? '';
      const names = this.names(bucket)
        .filter((each) => each.startsWith(prefix))
        .sort();
      const from = Number(url.searchParams.get('pageToken') ?? 0);
      // Small pages: who reads only the first misses most.
      const page = names.slice(from, from + 3).map((each) => this.#resource(bucket, each));
      const nextPageToken = from + 3 < names.length ? String(from + 3) : undefined;
      return send(response, 200, { kind: 'storage#objects', ...(page.length > 0 && { items: page }), nextPageToken });
    }
    const content = this.#objects.get(`${bucket}/${name}`);
    if (!content) return fail(response, 404, `No such object: ${bucket}/${name}`);
    if (url.searchParams.get('alt') !== 'media') return send(response, 200, this.#resource(bucket, name));
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.statusCode = from > 0 ? 206 : 200;
    const cut = this.cutAfter.shift();
    if (cut === undefined) return response.end(content.subarray(from));
    response.setHeader('content-length', content.length - from);
    response.write(content.subarray(from, from + cut), () => request.socket.destroy());
    return undefined;
  }

  #keep(bucket: string, name: string, content: Buffer) {
    this.#objects.set(`${bucket}/${name}`, content);
    return this.#resource(bucket, name);
  }

  #resource(bucket: string, name: string) {
    const content = this.#objects.get(`${bucket}/${name}`)!;
    return {
      kind: 'storage#object',
      bucket,
      name,
      size: String(content.length),
      md5Hash: createHash('md5').update(content).digest('base64'),
    };
  }
}

async function all(request: IncomingMessage, cut = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= cut) break;
  }
  return Buffer.concat(pieces).subarray(0, Math.min(bytes, cut));
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json; charset=UTF-8');
  response.end(body === undefined ? '' : JSON.stringify(body));
}

function fail(response: ServerResponse, code: number, message: string): true {
  send(response, code, { error: { code, message, errors: [{ message, domain: 'global', reason: 'error' }] } });
  return true;
}
