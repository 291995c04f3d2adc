/** The runs of this VM, for a decision that cannot be taken back: what cannot be read is never taken for nothing. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunSummary } from '@protocol/runner';
import { systemErrorCode } from '../hub/diskError';
import { elsewhere, isRun, runsFolder } from '../runs/runDir';
import { RunFigures } from '../runs/runFigures';

export interface WatchedRun extends RunSummary {
  /** Step of the best evaluation so far. */
  best_step: number | undefined;
  /** It left something that is worth keeping: a model or a checkpoint. */
  has_results: boolean;
}

export interface RunsSight {
  runs: WatchedRun[];
  /** What could not be read; then the list is not to be relied on. */
  doubt: string | undefined;
}

export const isLive = ({ state }: RunSummary): boolean => state === 'running' || state === 'queued';

/** The same look over and over, at the cost of what changed. */
export class RunsWatch {
  readonly #figures = new Map<string, RunFigures>();

  constructor(private readonly home: string) {}

  async look(): Promise<RunsSight> {
    const runs: WatchedRun[] = [];
    let doubt: string | undefined;
    for (const dir of await this.#dirs().catch((error: unknown) => {
      doubt = `the runs cannot be listed (${systemErrorCode(error) ?? error})`;
      return [];
    })) {
      try {
        // As root or as somebody else's it may be there and not be readable: that is no run that has ended.
        await readdir(dir);
        if (!(await isRun(dir))) continue;
        runs.push(await this.#run(dir));
      } catch (error) {
        // Removed while it was looked at.
        if (systemErrorCode(error) === 'ENOENT') continue;
        doubt = `the run in ${dir} cannot be read (${systemErrorCode(error) ?? error})`;
      }
    }
    return { runs, doubt };
  }

  async #dirs(): Promise<string[]> {
    const folder = runsFolder(this.home);
    const names = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw error;
    });
    const inHome = names.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
    return [...inHome.map(({ name }) => join(folder, name)), ...(await elsewhere(this.home))];
  }

  async #run(dir: string): Promise<WatchedRun> {
    const figures = this.#figures.get(dir) ?? new RunFigures(dir);
    this.#figures.set(dir, figures);
    const summary = await figures.refreshIfChanged();
    const checkpoints = await namesIn(join(dir, 'checkpoints'));
    const has_results = summary.model_path !== undefined || checkpoints.some((name) => /^step-\d+$/.test(name));
    return { ...summary, best_step: figures.bestStep, has_results };
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  });
}
