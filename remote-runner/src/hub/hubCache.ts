/**
 * Where models and datasets from the hub are kept: `models--OWNER--NAME/snapshots/COMMIT/` (`datasets--…`) holds the
 * files of one commit, and `refs/REVISION` the commit that a branch or tag last was. A snapshot is complete once its marker lies in it.
 */
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from './durableFile';

const COMPLETE_FILE = '.tuneyard-complete.json';

/** Environment variables that say where the cache and the hub are. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** `TUNEYARD_CACHE`/hub, else `XDG_CACHE_HOME`/tuneyard/hub, else `~/.cache/tuneyard/hub`. */
export function hubCacheDir(env: Environment): string {
  if (env.TUNEYARD_CACHE) return join(env.TUNEYARD_CACHE, 'hub');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tuneyard', 'hub');
}

/** The cache of one repository; its name and revision have been checked to be harmless as paths. */
export class RepoCache {
  private readonly dir: string;

  constructor(cacheDir: string, repo: string) {
    const kind = repo.startsWith('datasets/') ? '' : 'models--';
    this.dir = join(cacheDir, kind + repo.replaceAll('/', '--'));
  }

  snapshotDir(commit: string): string {
    return join(this.dir, 'snapshots', commit);
  }

  refsDir(): string {
    return join(this.dir, 'refs');
  }

  /** The commit that `revision` was when the hub was last asked, or undefined. */
  async readRef(revision: string): Promise<string | undefined> {
    const text = await readFile(this.refFile(revision), 'utf8').catch(() => undefined);
    return text?.trim() || undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    await replaceFile(this.refFile(revision), [Buffer.from(commit)]);
  }

  private refFile(revision: string): string {
    return join(this.refsDir(), encodeURIComponent(revision));
  }

  /** The snapshot's folder where every file is there with its size, else undefined. */
  async completeSnapshot(commit: string): Promise<string | undefined> {
    const dir = this.snapshotDir(commit);
    try {
      const sizes: unknown = JSON.parse(await readFile(join(dir, COMPLETE_FILE), 'utf8'));
      if (typeof sizes !== 'object' || sizes === null) return undefined;
      for (const [name, size] of Object.entries(sizes)) {
        if ((await stat(join(dir, name))).size !== size) return undefined;
      }
      return dir;
    } catch {
      return undefined;
    }
  }

  async markComplete(commit: string, sizes: Readonly<Record<string, number>>): Promise<void> {
    await replaceFile(join(this.snapshotDir(commit), COMPLETE_FILE), [Buffer.from(JSON.stringify(sizes, null, 2))]);
  }
}
