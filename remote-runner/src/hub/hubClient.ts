/**
 * Talks to a hub: every request carries the token only to the hub itself, can be cancelled, is repeated where that may
 * help, and fails with a sentence that says what the status means.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { datasetInfo, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { TuneyardError } from '@protocol/errors';
import { systemErrorCode } from './diskError';
import type { Environment } from './hubCache';

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const ATTEMPTS = 5;
const DATASETS = 'datasets/';

/** Whether a repository is one of data: its name begins with `datasets/`, as in addresses. */
const isDataset = (repo: string): boolean => repo.startsWith(DATASETS);

export interface HubClientOptions {
  env: Environment;
  signal?: AbortSignal | undefined;
  /** Wait before the first repetition, doubled for each further one. */
  retryDelayMs?: number;
}

/** A failure of the network or the server that may be gone at the next try. */
export class TransientHubError extends Error {
  override readonly name = 'TransientHubError';
  constructor(
    message: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

export class HubClient {
  readonly endpoint: string;
  private readonly origin: string;
  private readonly token: string | undefined;
  private readonly signal: AbortSignal | undefined;
  private readonly retryDelayMs: number;

  /** @throws TuneyardError `hub_failed` where `HF_ENDPOINT` is no address */
  constructor({ env, signal, retryDelayMs = 1000 }: HubClientOptions) {
    const endpoint = (env.HF_ENDPOINT || DEFAULT_ENDPOINT).replace(/\/+$/, '');
    const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
    if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) {
      throw new TuneyardError(
        'hub_failed',
        'HF_ENDPOINT must be an address such as https://hub.example.org, without a user name or password in it.',
      );
    }
    this.endpoint = endpoint;
    this.origin = url.origin;
    this.token = env.HF_TOKEN?.trim() || undefined;
    this.signal = signal;
    this.retryDelayMs = retryDelayMs;
  }

  /** The commit that a branch, tag or commit stands for. @throws TuneyardError `hub_failed`, `cancelled` */
  async commitOf(repo: string, revision: string): Promise<string> {
    const how = { revision, hubUrl: this.endpoint, fetch: this.fetch };
    const { sha } = await this.retry(repo, revision, () =>
      isDataset(repo)
        ? datasetInfo({ name: repo.slice(DATASETS.length), additionalFields: ['sha'], ...how })
        : modelInfo({ name: repo, additionalFields: ['sha'], ...how }),
    );
    // It becomes a folder's name.
    if (/^[0-9a-zA-Z]{7,64}$/.test(sha ?? '')) return sha;
    throw new TuneyardError('hub_failed', `${this.endpoint} gave no proper commit for ${repo}; is it a model hub?`);
  }

  /** The files of a repository; of a model's only those at the top. @throws TuneyardError `hub_failed`, `cancelled` */
  async list(repo: string, commit: string): Promise<ListFileEntry[]> {
    const how = { revision: commit, recursive: isDataset(repo), hubUrl: this.endpoint, fetch: this.fetch };
    return this.retry(repo, commit, async () => {
      const entries: ListFileEntry[] = [];
      for await (const entry of listFiles({ repo, ...how })) entries.push(entry);
      return entries;
    });
  }

  /**
   * A part of a file: [from, to).
   * @throws TuneyardError `hub_failed` (also of a server that knows no ranges, with `data.ranges` false), `cancelled`
   */
  async readRange(repo: string, commit: string, name: string, from: number, to: number): Promise<Buffer> {
    return this.retry(repo, commit, async () => {
      const headers = { 'accept-encoding': 'identity', range: `bytes=${from}-${to - 1}` };
      const url = this.fileUrl(repo, commit, name);
      const response = await this.fetch(url, { headers });
      if (response.status === 206) {
        const bytes = Buffer.from(await response.arrayBuffer());
        if (bytes.length === to - from) return bytes;
        throw new TransientHubError(`${name} was answered with another range than asked for`);
      }
      await response.body?.cancel();
      if (!response.ok) throw new HubApiError(url, response.status);
      throw new TuneyardError('hub_failed', `${this.endpoint} sends only whole files.`, { data: { ranges: false } });
    });
  }

  /**
   * Asks for a file's bytes from `offset` on. The library's own download is not used here, because it cannot tell
   * a server that honours `Range` from one that begins at the start again.
   * @returns the body, and where in the file it begins
   */
  async openFile(
    repo: string,
    commit: string,
    name: string,
    offset: number,
  ): Promise<{ body: ReadableStream<Uint8Array>; offset: number }> {
    const url = this.fileUrl(repo, commit, name);
    // Compressed bodies have no ranges.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    const response = await this.fetch(url, { headers });
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      throw new HubApiError(url, response.status);
    }
    if (response.status !== 206) return { body: response.body, offset: 0 };
    const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (start !== undefined && Number(start) <= offset) return { body: response.body, offset: Number(start) };
    await response.body.cancel();
    throw new TransientHubError(`${name} was answered with another range than asked for`);
  }

  /**
   * Repeats what failed for a passing reason. `action` may reset the count of tries by `progress()`: a connection that
   * drops every so often still gets there.
   * @throws TuneyardError `hub_failed`, `cancelled`
   */
  async retry<T>(repo: string, revision: string, action: (progress: () => void) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await action(() => {
          attempt = 1;
        });
      } catch (error) {
        if (this.signal?.aborted) throw new TuneyardError('cancelled', `Fetching ${repo} was stopped on request.`);
        if (error instanceof TuneyardError) throw error;
        if (!isTransient(error) || attempt >= ATTEMPTS) throw this.explain(error, repo, revision);
        const wait = error instanceof TransientHubError ? error.retryAfterMs : undefined;
        await sleep(wait ?? this.retryDelayMs * 2 ** (attempt - 1), undefined, { signal: this.signal }).catch(() => {});
      }
    }
  }

  /** `fetch` as the hub library takes it; the token never leaves for another origin, whatever the answers link to. */
  private readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (this.token && url.origin === this.origin) headers.set('authorization', `Bearer ${this.token}`);
    const response = await globalThis.fetch(url, { ...init, headers, signal: this.signal ?? null });
    if (response.status === 429 || response.status >= 500) {
      await response.body?.cancel();
      const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
      const wait = Number.isFinite(seconds) ? Math.min(seconds, 60) * 1000 : undefined;
      throw new TransientHubError(`status ${response.status}`, wait);
    }
    return response;
  };

  private fileUrl(repo: string, commit: string, name: string): string {
    return `${this.endpoint}/${repo}/resolve/${commit}/${name.split('/').map(encodeURIComponent).join('/')}`;
  }

  /** The sentence for a failure. What the server wrote is left out: it may repeat what it was sent. */
  private explain(error: unknown, repo: string, revision: string): TuneyardError {
    const status = error instanceof HubApiError ? error.statusCode : undefined;
    const data = { repo, revision, endpoint: this.endpoint, ...(status === undefined ? {} : { status }) };
    return new TuneyardError('hub_failed', this.sentence(error, status, repo, revision), { data });
  }

  private sentence(error: unknown, status: number | undefined, repo: string, revision: string): string {
    const page = `${this.endpoint}/${repo}`;
    const what = isDataset(repo) ? 'dataset' : 'model';
    switch (status) {
      case 401:
        return this.token
          ? `${page} refuses the token in HF_TOKEN (401): it may have expired, or ${repo} may not exist; make a new one under Settings → Access Tokens.`
          : `${page} does not exist or is private (401): check the name, or set HF_TOKEN to a token that may read it.`;
      case 403:
        return this.token
          ? `your token may not read ${page} (403): accept the ${what}’s conditions on its page, and give the token access to gated ${what}s.`
          : `${page} is gated (403): accept its conditions on its page, then set HF_TOKEN to a token that may read it.`;
      case 404:
        return `${page} has no ${what} of that name, or no revision "${revision}" (404): check both.`;
      case undefined:
        return `${this.endpoint} cannot be used (${reasonOf(error)}): check the connection, or set HF_ENDPOINT to a mirror, or give ${isDataset(repo) ? 'a file' : 'the folder of a model'} you have.`;
      default:
        return `${page} answered with status ${status}; try again later.`;
    }
  }
}

/** No name server, nobody listening, a wrong certificate: another try a second later ends the same. */
const LASTING = /^(ENOTFOUND|ECONNREFUSED|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;

function isTransient(error: unknown): boolean {
  if (error instanceof TransientHubError) return true;
  if (LASTING.test(reasonOf(error))) return false;
  // undici wraps whatever happens on the wire in one of these two.
  return error instanceof TypeError && /^(fetch failed|terminated)/.test(error.message);
}

/** The innermost cause in a few words: "ECONNREFUSED", "status 503". */
function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0];
  return systemErrorCode(inner) ?? (inner instanceof TransientHubError ? inner.message : 'no proper answer');
}
