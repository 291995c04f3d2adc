/**
 * Datasets on the hub: which files a name, a configuration and a split stand for, and these files, fetched into the cache
 * and checked against the hub's checksums. What a repository holds at a commit never changes, so its listing is kept too.
 */
import { mkdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import type { HubChoice } from '@protocol/dataset';
import { TuneyardError } from '@protocol/errors';
import { type HubPath, hubPathText, parseHubPath } from '@protocol/hubPath';
import { convertedLayout, type DatasetConfig, datasetLayout, matchingFiles } from './datasetLayout';
import { asWriteError } from './diskError';
import { formatBytes, requireDiskSpace } from './diskSpace';
import { replaceFile } from './durableFile';
import { fetchFile } from './fetchFile';
import { type Environment, hubCacheDir, RepoCache } from './hubCache';
import { HubClient } from './hubClient';

export interface HubDataOptions {
  signal?: AbortSignal | undefined;
  /** Bytes of one file. */
  onProgress?: ((progress: { file: string; bytes: number; totalBytes: number }) => void) | undefined;
  /** Told when the hub is out of reach and what is in the cache is used instead. */
  onWarning?: ((message: string) => void) | undefined;
  /** `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `TUNEYARD_CACHE`. Default: the process's. */
  env?: Environment | undefined;
  retryDelayMs?: number | undefined;
}

/** Files that are trained on, and what else there was to choose from. */
interface HubSplit extends HubChoice {
  /** `hf://` paths of single files at a commit. The choice is empty where the path named them itself. */
  files: string[];
}

const LISTING_FILE = '.tuneyard-listing.json';
const CARD = 'README.md';
const CONVERTED = 'refs/convert/parquet';
const SHOWN = 8;

interface Repo {
  name: string;
  commit: string;
  entries: ListFileEntry[];
  files: string[];
}

/**
 * @param path as a recipe writes it
 * @throws TuneyardError `hub_failed` of the network and the hub; `dataset_invalid` where there is no such configuration,
 *   split or file, or nothing that can be read; `cancelled`
 */
export async function findHubFiles(
  path: string,
  { config, split }: { config?: string | undefined; split?: string | undefined },
  options: HubDataOptions = {},
): Promise<HubSplit> {
  const asked = parseHubPath(path);
  const hub = new Hub(options);
  const repo = await hub.open(asked);
  if (asked.file !== undefined) {
    const files = matchingFiles(repo.files, asked.file);
    if (files.length > 0) return { files: pinned(repo, files), configs: [], splits: [] };
    throw invalid(`there is no file "${asked.file}" in it; it has ${listed(repo.files)}.`, asked);
  }
  const layout = await hub.layout(repo, asked);
  const chosen = chooseConfig(layout.configs, config, asked);
  const wanted = split ?? (chosen.splits.train ? 'train' : Object.keys(chosen.splits)[0]!);
  const files = chosen.splits[wanted];
  if (!files) {
    const splits = Object.keys(chosen.splits);
    const configs = layout.configs.map(({ name }) => name);
    throw invalid(`it has no split "${wanted}"; it has ${listed(splits)}.`, asked, {
      configs,
      config: chosen.name,
      splits,
    });
  }
  return {
    files: pinned(layout.repo, files),
    config: chosen.name,
    split: wanted,
    configs: layout.configs.map(({ name }) => name),
    splits: Object.keys(chosen.splits),
  };
}

/**
 * @param path of a single file at a commit, from {@link findHubFiles}
 * @returns where it is on this machine
 * @throws TuneyardError `hub_failed`, `disk_full`, `not_writable`, `cancelled`
 */
export async function fetchHubFile(path: string, options: HubDataOptions = {}): Promise<string> {
  const { hub, repo, entry, local } = await locate(path, options);
  const present = await stat(local).catch(() => undefined);
  if (present?.size === entry.size) return local;
  await hub.fetch(repo, entry);
  return local;
}

/** A file that is read where it is: of what lies there no more is fetched than is asked for. */
export interface HubFile {
  size: number;
  /** Where it is on this machine, once it is. */
  local?: string;
  read(from: number, to: number): Promise<Buffer>;
}

/** @throws TuneyardError as {@link fetchHubFile} */
export async function openHubFile(path: string, options: HubDataOptions = {}): Promise<HubFile> {
  const { hub, repo, entry, local } = await locate(path, options);
  const present = await stat(local).catch(() => undefined);
  return {
    size: entry.size,
    ...(present?.size === entry.size && { local }),
    read: (from, to) => hub.client.readRange(repo.name, repo.commit, entry.path, from, to),
  };
}

async function locate(path: string, options: HubDataOptions) {
  const asked = parseHubPath(path);
  const hub = new Hub(options);
  const repo = await hub.open(asked);
  const entry = repo.entries.find((one) => one.path === asked.file);
  if (!entry) throw invalid(`there is no file "${asked.file}" in it; it has ${listed(repo.files)}.`, asked);
  return { hub, repo, entry, local: join(hub.cache(repo.name).snapshotDir(repo.commit), entry.path) };
}

class Hub {
  readonly client: HubClient;
  readonly #env: Environment;

  constructor(private readonly options: HubDataOptions) {
    this.#env = options.env ?? process.env;
    const { signal, retryDelayMs = 1000 } = options;
    this.client = new HubClient({ env: this.#env, signal, retryDelayMs });
  }

  cache(repo: string): RepoCache {
    return new RepoCache(hubCacheDir(this.#env), repo);
  }

  async open({ repo, revision = 'main' }: HubPath): Promise<Repo> {
    const commit = await this.#commitOf(repo, revision);
    const entries = await this.#listing(repo, commit);
    return { name: repo, commit, entries, files: entries.map(({ path }) => path) };
  }

  /** Of the repository, or, where it holds nothing that can be read, of what the hub made of it. */
  async layout(repo: Repo, asked: HubPath): Promise<{ repo: Repo; configs: DatasetConfig[] }> {
    const configs = datasetLayout(repo.files, await this.#card(repo));
    if (configs.length > 0) return { repo, configs };
    const converted = await this.open({ repo: repo.name, revision: CONVERTED }).catch((error: unknown) => {
      if (error instanceof TuneyardError && error.code === 'hub_failed') return undefined;
      throw error;
    });
    const made = converted ? convertedLayout(converted.files) : [];
    if (converted && made.length > 0) return { repo: converted, configs: made };
    throw invalid(
      `it holds no JSON, JSONL, CSV, TSV, TXT or Parquet, and the hub has made none of it; it has ${listed(repo.files)}.`,
      asked,
    );
  }

  async fetch(repo: Repo, entry: ListFileEntry): Promise<void> {
    const dir = this.cache(repo.name).snapshotDir(repo.commit);
    if (this.#isOffline) throw this.#notHere(`${entry.path} of ${repo.name}`);
    await mkdir(dir, { recursive: true }).catch((error: unknown) => {
      throw asWriteError(error, dir);
    });
    await requireDiskSpace(dir, entry.size, `the file ${entry.path} (${formatBytes(entry.size)})`);
    const { signal, onProgress } = this.options;
    const file = basename(entry.path);
    const onBytes = (bytes: number) => onProgress?.({ file, bytes, totalBytes: entry.size });
    await fetchFile({ client: this.client, repo: repo.name, commit: repo.commit, entry, dir, signal, onBytes });
  }

  async #commitOf(repo: string, revision: string): Promise<string> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    if (!/^\w[\w./-]*$/.test(revision) || revision.includes('..')) {
      throw new TuneyardError('hub_failed', `"${revision}" cannot be a branch, tag or commit; check the revision.`);
    }
    const cache = this.cache(repo);
    const known = await cache.readRef(revision);
    const cached = known && /^[0-9a-zA-Z]+$/.test(known) ? known : undefined;
    if (this.#isOffline) {
      if (cached) return cached;
      throw this.#notHere(repo);
    }
    try {
      const commit = await this.client.commitOf(repo, revision);
      if (commit !== cached) {
        await mkdir(cache.refsDir(), { recursive: true });
        await cache.writeRef(revision, commit);
      }
      return commit;
    } catch (error) {
      const isUnreachable =
        error instanceof TuneyardError && error.code === 'hub_failed' && error.data.status === undefined;
      if (!isUnreachable || !cached) throw error;
      this.options.onWarning?.(`${this.client.endpoint} is out of reach; using the copy of ${repo} in the cache.`);
      return cached;
    }
  }

  async #listing(repo: string, commit: string): Promise<ListFileEntry[]> {
    const dir = this.cache(repo).snapshotDir(commit);
    const file = join(dir, LISTING_FILE);
    const kept = await keptListing(file);
    if (kept) return kept;
    if (this.#isOffline) throw this.#notHere(repo);
    const entries = (await this.client.list(repo, commit)).filter(
      ({ type, path }) => type === 'file' && isInside(path),
    );
    await mkdir(dir, { recursive: true }).catch((error: unknown) => {
      throw asWriteError(error, dir);
    });
    await replaceFile(file, [Buffer.from(JSON.stringify(entries))]);
    return entries;
  }

  async #card(repo: Repo): Promise<string | undefined> {
    const entry = repo.entries.find(({ path }) => path === CARD);
    if (!entry) return undefined;
    const file = join(this.cache(repo.name).snapshotDir(repo.commit), CARD);
    const present = await stat(file).catch(() => undefined);
    if (present?.size !== entry.size) await this.fetch(repo, entry);
    return readFile(file, 'utf8');
  }

  get #isOffline(): boolean {
    return /^(1|true|yes|on)$/i.test(this.#env.HF_HUB_OFFLINE ?? '');
  }

  #notHere(what: string): TuneyardError {
    return new TuneyardError('hub_failed', `${what} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it.`);
  }
}

async function keptListing(file: string): Promise<ListFileEntry[] | undefined> {
  try {
    const entries: unknown = JSON.parse(await readFile(file, 'utf8'));
    return Array.isArray(entries) ? (entries as ListFileEntry[]) : undefined;
  } catch {
    return undefined;
  }
}

function chooseConfig(configs: readonly DatasetConfig[], name: string | undefined, asked: HubPath): DatasetConfig {
  const all = configs.map((config) => config.name);
  const names = listed(all);
  const found = configs.find((config) => (name === undefined ? config.isDefault : config.name === name));
  if (found) return found;
  throw invalid(
    name === undefined
      ? `it has several configurations, and calls none the default: name one in dataset.config (${names}).`
      : `it has no configuration "${name}"; it has ${names}.`,
    asked,
    { configs: all, splits: [] },
  );
}

const pinned = ({ name, commit }: Repo, files: readonly string[]): string[] =>
  files.map((file) => hubPathText({ repo: name, revision: commit, file }));

function listed(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown || 'nothing';
}

/** @param hub what there is to choose from */
const invalid = (what: string, asked: HubPath, hub?: Record<string, unknown>): TuneyardError =>
  new TuneyardError('dataset_invalid', what, { place: { file: hubPathText(asked) }, data: hub ? { hub } : {} });

/** A listing comes from a server; what it names must not lead out of the folder, nor to files of our own. */
const isInside = (path: string): boolean =>
  path !== '' && !/^([/\\]|[a-z]:)|\\|\0|(^|\/)\.\.?(\/|$)|(^|\/)\.tuneyard|\.partial-/i.test(path);
