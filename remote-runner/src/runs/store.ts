/** The runs of this machine, and how each of them stands. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunSummary } from '@protocol/runner';
import { elsewhere, isRun, runsFolder, tuneyardHome } from './runDir';
import { RunFigures } from './runFigures';

/**
 * The runs under `home` and those that were given a folder of their own, newest first. Folders that hold no run are
 * passed over.
 * @param home default: {@link tuneyardHome}
 */
export async function listRuns(home = tuneyardHome()): Promise<RunSummary[]> {
  return new RunList(home).refresh();
}

const AT_ONCE = 64;

/** The same list over and over, at the cost of what changed. */
export class RunList {
  readonly #figures = new Map<string, RunFigures>();

  constructor(private readonly home = tuneyardHome()) {}

  async refresh(): Promise<RunSummary[]> {
    const folder = runsFolder(this.home);
    const inHome = (await readdir(folder).catch(() => [])).map((name) => join(folder, name));
    const dirs = new Set([...inHome, ...(await elsewhere(this.home))]);
    for (const dir of this.#figures.keys()) if (!dirs.has(dir)) this.#figures.delete(dir);
    const found = new Map<string, RunSummary>();
    for (const run of await this.#summaries([...dirs])) {
      // Two folders of one name: the other goes by its path.
      const id = found.has(run.id) ? run.dir : run.id;
      found.set(id, { ...run, id });
    }
    return [...found.values()].sort((a, b) => (a.started < b.started ? 1 : -1));
  }

  /** A few at a time: each has files open, of which a process may not have many. */
  async #summaries(dirs: readonly string[]): Promise<RunSummary[]> {
    const found: RunSummary[] = [];
    for (let i = 0; i < dirs.length; i += AT_ONCE) {
      const some = await Promise.all(dirs.slice(i, i + AT_ONCE).map((dir) => this.#summary(dir)));
      found.push(...some.filter((run) => run !== undefined));
    }
    return found;
  }

  async #summary(dir: string): Promise<RunSummary | undefined> {
    const known = this.#figures.get(dir);
    if (!known && !(await isRun(dir))) return undefined;
    const figures = known ?? new RunFigures(dir);
    this.#figures.set(dir, figures);
    // Removed while it was looked at.
    return figures.refreshIfChanged().catch(() => undefined);
  }
}
