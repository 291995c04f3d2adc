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

/** The same list over and over, at the cost of what changed. */
export class RunList {
  readonly #figures = new Map<string, RunFigures>();

  constructor(private readonly home = tuneyardHome()) {}

  async refresh(): Promise<RunSummary[]> {
    const folder = runsFolder(this.home);
    const inHome = (await readdir(folder).catch(() => [])).map((name) => join(folder, name));
    const dirs = new Set([...inHome, ...(await elsewhere(this.home))]);
    for (const dir of this.#figures.keys()) if (!dirs.has(dir)) this.#figures.delete(dir);
    const found = await Promise.all([...dirs].map((dir) => this.#summary(dir)));
    return found.filter((run) => run !== undefined).sort((a, b) => (a.started < b.started ? 1 : -1));
  }

  async #summary(dir: string): Promise<RunSummary | undefined> {
    if (!(await isRun(dir))) {
      this.#figures.delete(dir);
      return undefined;
    }
    const figures = this.#figures.get(dir) ?? new RunFigures(dir);
    this.#figures.set(dir, figures);
    // Removed while it was looked at.
    return figures.refresh().catch(() => undefined);
  }
}
