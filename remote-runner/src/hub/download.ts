/**
 * From what a recipe calls its model to a folder on this machine: a folder stays where it is, a name on the hub is
 * fetched into the cache. Only the files that are read are fetched, each is checked against the hub's checksum, and
 * what a dropped connection or a killed process left is gone on with.
 */
import { mkdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import { TuneyardError } from '@protocol/errors';
import { asWriteError } from './diskError';
import { requireDiskSpace } from './diskSpace';
import { fetchFile } from './fetchFile';
import { type Environment, hubCacheDir, RepoCache } from './hubCache';
import { HubClient } from './hubClient';
import {
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  pickledError,
  pickledWeights,
  TOKENIZER_FILES,
  WEIGHTS_FILE,
  WEIGHTS_INDEX_FILE,
} from './modelFiles';
import { readShardIndex } from './safetensors';

/** How far a download is, in bytes; `totalBytes` grows once a sharded model's index is there. */
export interface DownloadProgress {
  repo: string;
  file: string;
  fileBytes: number;
  fileTotalBytes: number;
  bytes: number;
  totalBytes: number;
}

export interface ResolveModelOptions {
  /** Branch, tag or commit of a hub model. Default: main. */
  revision?: string | undefined;
  /** What relative folders are relative to. Default: the working directory. */
  baseDir?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Told when the hub is out of reach and the cached model is used instead. */
  onWarning?: ((message: string) => void) | undefined;
  /** `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `TUNEYARD_CACHE`. Default: the process's. */
  env?: Environment | undefined;
  retryDelayMs?: number | undefined;
  /** Only what text becomes tokens by: the weights stay where they are. What is in the cache already is taken as it is. */
  tokenizerOnly?: boolean | undefined;
}

/**
 * The folder of a model.
 * @param nameOrPath a folder, or a hub name such as `roneneldan/TinyStories-33M`; a folder of that name comes first
 * @returns an absolute path
 * @throws TuneyardError `file_not_found`, `hub_failed`, `weights_pickled`, `model_invalid`, `disk_full`,
 *   `not_writable`, `cancelled`
 */
export async function resolveModel(nameOrPath: string, options: ResolveModelOptions = {}): Promise<string> {
  const expanded = nameOrPath.replace(/^~(?=$|\/)/, homedir());
  const folder = resolve(options.baseDir ?? process.cwd(), expanded);
  const stats = await stat(folder).catch(() => undefined);
  if (stats?.isDirectory()) return folder;
  if (stats) {
    throw new TuneyardError('model_invalid', 'the model must be a folder in Hugging Face’s format, not a file.', {
      place: { file: folder },
    });
  }
  if (isAbsolute(expanded) || /^\.\.?([/\\]|$)/.test(expanded) || !isRepoName(nameOrPath)) {
    throw new TuneyardError('file_not_found', 'there is no such model folder; check the path.', {
      place: { file: folder },
    });
  }
  return fetchModel(nameOrPath, options).catch((error: unknown) => {
    if (!(error instanceof TuneyardError) || error.code !== 'hub_failed') throw error;
    throw new TuneyardError('hub_failed', `there is no folder ${folder}, and ${error.what}`, { data: error.data });
  });
}

/** `owner/name` or `name`, by the hub's rules; also what makes it safe in a path and an address. */
function isRepoName(name: string): boolean {
  return /^[a-zA-Z0-9][\w.-]*(\/[a-zA-Z0-9_][\w.-]*)?$/.test(name) && !/\.\.|--|[.-](\/|$)/.test(name);
}

async function fetchModel(repo: string, options: ResolveModelOptions): Promise<string> {
  const env = options.env ?? process.env;
  const revision = options.revision ?? 'main';
  if (!/^\w[\w./-]*$/.test(revision) || revision.includes('..')) {
    throw new TuneyardError('hub_failed', `"${revision}" cannot be a branch, tag or commit; check the revision.`);
  }
  const cache = new RepoCache(hubCacheDir(env), repo);
  const client = new HubClient({ env, signal: options.signal, retryDelayMs: options.retryDelayMs ?? 1000 });

  // A commit never changes: what is here in full needs no question.
  const pinned = /^[0-9a-f]{40}$/.test(revision) ? await cache.completeSnapshot(revision) : undefined;
  if (pinned) return pinned;

  const offline = /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? '');
  const cached = await cachedSnapshot(cache, revision);
  if (offline) {
    if (cached) return cached;
    throw new TuneyardError('hub_failed', `${repo} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it.`);
  }
  let commit: string;
  try {
    commit = await client.commitOf(repo, revision);
  } catch (error) {
    const unreachable =
      error instanceof TuneyardError && error.code === 'hub_failed' && error.data.status === undefined;
    if (!unreachable || !cached) throw error;
    options.onWarning?.(`${client.endpoint} is out of reach; using the copy of ${repo} in the cache.`);
    return cached;
  }
  const present = await cache.completeSnapshot(commit);
  if (!present) await fetchSnapshot(repo, commit, client, cache, options);
  await mkdir(cache.refsDir(), { recursive: true });
  if ((await cache.readRef(revision)) !== commit) await cache.writeRef(revision, commit);
  return present ?? cache.snapshotDir(commit);
}

async function cachedSnapshot(cache: RepoCache, revision: string): Promise<string | undefined> {
  const commit = await cache.readRef(revision);
  // A ref is a file that anybody could have changed; it must not lead elsewhere.
  return commit && /^[0-9a-zA-Z]+$/.test(commit) ? cache.completeSnapshot(commit) : undefined;
}

async function fetchSnapshot(
  repo: string,
  commit: string,
  client: HubClient,
  cache: RepoCache,
  options: ResolveModelOptions,
): Promise<void> {
  const listing = new Map<string, ListFileEntry>();
  for (const entry of await client.list(repo, commit)) {
    if (entry.type === 'file') listing.set(entry.path, entry);
  }
  const where = `${client.endpoint}/${repo}`;
  if (!listing.has(CONFIG_FILE)) {
    throw new TuneyardError('model_invalid', `there is no ${CONFIG_FILE}, so this is not a model for transformers.`, {
      place: { file: where },
    });
  }
  const weights = [WEIGHTS_FILE, WEIGHTS_INDEX_FILE].find((name) => listing.has(name));
  if (!weights && !options.tokenizerOnly) {
    const pickled = pickledWeights([...listing.keys()]);
    if (pickled.length > 0) throw pickledError(where, pickled);
    throw new TuneyardError('model_invalid', `there is no ${WEIGHTS_FILE} in this repository.`, {
      place: { file: where },
    });
  }

  const dir = cache.snapshotDir(commit);
  await mkdir(dir, { recursive: true }).catch((error: unknown) => {
    throw asWriteError(error, dir);
  });
  const sizes: Record<string, number> = {};
  let done = 0;
  const fetchAll = async (names: readonly string[]) => {
    const entries = names.flatMap((name) => listing.get(name) ?? []);
    const total = done + entries.reduce((sum, { size }) => sum + size, 0);
    await requireDiskSpace(dir, total - done, `the model ${repo}`);
    for (const entry of entries) {
      await fetchFile({
        client,
        repo,
        commit,
        entry,
        dir,
        signal: options.signal,
        onBytes: (fileBytes) =>
          options.onProgress?.({
            repo,
            file: entry.path,
            fileBytes,
            fileTotalBytes: entry.size,
            bytes: done + fileBytes,
            totalBytes: total,
          }),
      });
      done += entry.size;
      sizes[entry.path] = entry.size;
    }
  };
  // The weights come last: whatever is wrong with the small files shows before the long wait. Without them the copy is not whole.
  await fetchAll([CONFIG_FILE, GENERATION_CONFIG_FILE, ...TOKENIZER_FILES]);
  if (options.tokenizerOnly || !weights) return;
  await fetchAll([weights]);
  if (weights === WEIGHTS_INDEX_FILE) {
    const shards = [...new Set((await readShardIndex(join(dir, WEIGHTS_INDEX_FILE))).values())].sort();
    const missing = shards.find((name) => !listing.has(name));
    if (missing) {
      throw new TuneyardError('weights_invalid', `the shard "${missing}" of its index is not in this repository.`, {
        place: { file: where },
      });
    }
    await fetchAll(shards);
  }
  await cache.markComplete(commit, sizes);
}
