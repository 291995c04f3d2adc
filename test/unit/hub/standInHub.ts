/**
 * A hub on loopback that speaks the endpoints of huggingface.co which a download uses: `/api/models/NAME/revision/REV`,
 * `/api/models/NAME/tree/COMMIT` in pages, and `/NAME/resolve/COMMIT/FILE`, which for LFS files redirects to a second
 * origin, as the real one does to its CDN. A repository whose name begins with `datasets/` is one of data. It can misbehave in the ways that networks and mirrors do.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StandInRequest {
  origin: 'hub' | 'cdn';
  path: string;
  authorization: string | undefined;
  range: string | undefined;
}

export class StandInHub {
  /** What it was asked, in order. */
  readonly requests: StandInRequest[] = [];
  readonly commit = 'c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00';
  /** What the hub itself made of a dataset: the files of the branch `refs/convert/parquet`. */
  converted: Map<string, Buffer> | undefined;
  readonly convertedCommit = 'decaf000decaf000decaf000decaf000decaf000';
  /** Fails requests so marked with a status instead of answering. */
  status: ((path: string) => number | undefined) | undefined;
  /** Drops the connection after so many bytes of a file, as often as `times` says. */
  drop: { file: string; afterBytes: number; times: number } | undefined;
  /** Answers `Range` with the whole file and 200. */
  ignoreRanges = false;
  /** Stops sending after the first bytes of this file, and keeps the connection. */
  stall: string | undefined;
  /** Has the listing go on at another origin, as a malicious or misconfigured mirror could. */
  listElsewhere = false;
  /** Files from this size on are LFS files. */
  readonly lfsBytes = 10_000;
  private servers: Server[] = [];

  constructor(
    readonly repo: string,
    readonly files: Map<string, Buffer>,
    /** Where a checksum is to be wrong. */
    readonly wrongChecksum?: string,
  ) {}

  get endpoint(): string {
    return this.origin(0);
  }

  async start(): Promise<void> {
    for (const origin of ['hub', 'cdn'] as const) {
      const server = createServer((request, response) => this.answer(origin, request, response));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      this.servers.push(server);
    }
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    this.servers = [];
  }

  /** Requests for a file's bytes, redirects not counted twice. */
  fetches(file: string): StandInRequest[] {
    return this.requests.filter(
      ({ path, origin }) => path.endsWith(`/${file}`) && (origin === 'cdn' || !this.isLfs(file)),
    );
  }

  private origin(index: number): string {
    return `http://127.0.0.1:${(this.servers[index]!.address() as AddressInfo).port}`;
  }

  private isLfs(file: string): boolean {
    return (this.fileAt(file)?.byteLength ?? 0) >= this.lfsBytes;
  }

  private answer(origin: 'hub' | 'cdn', request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://hub');
    const path = decodeURIComponent(url.pathname);
    this.requests.push({ origin, path, authorization: request.headers.authorization, range: request.headers.range });
    const status = this.status?.(path);
    const file = /^\/cdn\/(.*)$/.exec(path)?.[1] ?? /\/resolve\/\w+\/(.*)$/.exec(path)?.[1] ?? '';
    const api = `/api/${this.repo.startsWith('datasets/') ? '' : 'models/'}${this.repo}`;
    if (status !== undefined) {
      response.writeHead(status, { 'content-type': 'application/json' });
      // Servers do repeat what they were sent.
      response.end(JSON.stringify({ error: `refused: ${request.headers.authorization}` }));
    } else if (path === '/api/datasets') {
      const name = this.repo.replace('datasets/', '');
      const isFound = name.includes(url.searchParams.get('search') ?? '');
      response.end(JSON.stringify(isFound ? [{ id: name, downloads: 1234, gated: false }] : []));
    } else if (path.startsWith(`${api}/revision/`)) {
      const name = path.split('/revision/')[1]!;
      const isConverted = name === 'refs/convert/parquet' && this.converted !== undefined;
      const sha = isConverted ? this.convertedCommit : this.commit;
      if (!isConverted && !['main', 'refs/pr/1', this.commit].includes(name)) response.writeHead(404).end();
      else response.end(JSON.stringify({ _id: '1', id: this.repo, sha, private: false, gated: false }));
    } else if (path === `${api}/tree/${this.commit}`) {
      this.list(this.files, url, response);
    } else if (path === `${api}/tree/${this.convertedCommit}` && this.converted) {
      this.list(this.converted, url, response);
    } else if (
      this.fileAt(file) &&
      [this.commit, this.convertedCommit].some((c) => path === `/${this.repo}/resolve/${c}/${file}`)
    ) {
      if (this.isLfs(file)) response.writeHead(302, { location: `${this.origin(1)}/cdn/${file}` }).end();
      else this.send(file, request, response);
    } else if (origin === 'cdn' && this.fileAt(file)) {
      this.send(file, request, response);
    } else {
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
    }
  }

  private fileAt(path: string): Buffer | undefined {
    return this.files.get(path) ?? this.converted?.get(path);
  }

  /** Two entries a page; below folders only where that is asked for. */
  private list(files: Map<string, Buffer>, url: URL, response: ServerResponse): void {
    const start = Number(url.searchParams.get('cursor') ?? 0);
    const isWhole = url.searchParams.get('recursive') === 'true';
    const listed = [...files].filter(([path]) => isWhole || !path.includes('/'));
    const entries = listed.map(([path, data]) => {
      const wrong = path === this.wrongChecksum ? '!' : '';
      const oid = createHash('sha1').update(`blob ${data.byteLength}\0`).update(data).update(wrong).digest('hex');
      const sha256 = createHash('sha256').update(data).update(wrong).digest('hex');
      const lfs = this.isLfs(path) ? { lfs: { oid: sha256, size: data.byteLength, pointerSize: 130 } } : {};
      return { type: 'file', path, size: data.byteLength, oid, ...lfs };
    });
    if (start + 2 < entries.length) {
      response.setHeader(
        'link',
        `<${this.origin(this.listElsewhere ? 1 : 0)}${url.pathname}?cursor=${start + 2}&recursive=${isWhole}>; rel="next"`,
      );
    }
    response.end(JSON.stringify(entries.slice(start, start + 2)));
  }

  private send(file: string, request: IncomingMessage, response: ServerResponse): void {
    const data = this.fileAt(file)!;
    const [, from, last] = (!this.ignoreRanges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')) || [];
    const start = Number(from ?? 0);
    const body = data.subarray(start, last ? Number(last) + 1 : undefined);
    response.writeHead(from === undefined ? 200 : 206, {
      'content-length': body.byteLength,
      ...(from === undefined
        ? {}
        : { 'content-range': `bytes ${start}-${start + body.byteLength - 1}/${data.byteLength}` }),
    });
    const drop = this.drop;
    if (drop?.file === file && drop.times > 0) {
      drop.times--;
      response.write(body.subarray(0, drop.afterBytes), () => response.destroy());
    } else if (this.stall === file) {
      response.write(body.subarray(0, 1000));
    } else {
      response.end(body);
    }
  }
}
