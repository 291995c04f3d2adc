/** The runs of this machine, and how each of them stands. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EndEvent, RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import { readEvents } from './eventLog';
import { isRun, RECIPE_FILE, runsFolder, tuneyardHome } from './runDir';
import { lockHolder } from './runLock';

/**
 * The runs under `home`, newest first. Folders that hold no run are passed over.
 * @param home default: {@link tuneyardHome}
 */
export async function listRuns(home = tuneyardHome()): Promise<RunSummary[]> {
  const folder = runsFolder(home);
  const dirs = (await readdir(folder).catch(() => [])).map((name) => join(folder, name));
  const found = await Promise.all(dirs.map(async (dir) => ((await isRun(dir)) ? summarizeRun(dir) : undefined)));
  return found.filter((run) => run !== undefined).sort((a, b) => (a.started < b.started ? 1 : -1));
}

/**
 * How a run stands. It is `running` while a process holds its lock.
 * @param dir a run directory
 */
async function summarizeRun(dir: string): Promise<RunSummary> {
  // The lock before the events: a run that ends in between then counts as running, not as crashed.
  const running = (await lockHolder(dir)) !== undefined;
  const { birthtimeMs, mtimeMs } = await stat(dir);
  // Not every file system knows when a folder was made.
  const made = new Date(birthtimeMs || mtimeMs).toISOString();
  const run: RunSummary = {
    id: basename(dir),
    dir,
    state: 'crashed',
    started: made,
    updated: made,
    ...(await recipeFacts(dir)),
    step: 0,
    total_steps: 0,
  };
  let end: EndEvent | undefined;
  let pace: number | undefined;
  try {
    for await (const event of readEvents(dir)) {
      if (event.seq === 1) run.started = event.time;
      run.updated = event.time;
      if (event.type === 'start') end = undefined;
      if (event.type === 'end') end = event;
      if (event.type === 'log') pace = event.step_seconds;
      addEvent(run, event);
    }
  } catch {
    // It has no events yet, or none that may be read: what is known of it is still worth a line.
  }
  run.state = running ? 'running' : (end?.status ?? 'crashed');
  if (running && pace !== undefined) run.seconds_left = Math.max(0, run.total_steps - run.step) * pace;
  if (!running && end?.message !== undefined) run.message = end.message;
  return run;
}

function addEvent(run: RunSummary, event: RunEvent): void {
  if (event.type !== 'warning') run.step = event.step;
  switch (event.type) {
    case 'start':
      run.total_steps = event.total_steps;
      run.model = event.model;
      run.method = event.method;
      run.device = event.device;
      break;
    case 'log':
      run.last_loss = event.loss;
      break;
    case 'eval':
      run.eval_loss = event.eval_loss;
      break;
    case 'end':
      if (event.model_path !== undefined) run.model_path = event.model_path;
      break;
  }
}

/** What a run that has not begun yet, or failed before, is about. */
async function recipeFacts(dir: string): Promise<Partial<RunSummary>> {
  try {
    const recipe: unknown = JSON.parse(await readFile(join(dir, RECIPE_FILE), 'utf8'));
    if (typeof recipe !== 'object' || recipe === null) return {};
    return {
      ...('model' in recipe && typeof recipe.model === 'string' && { model: recipe.model }),
      ...('method' in recipe && typeof recipe.method === 'string' && { method: recipe.method }),
    };
  } catch {
    return {};
  }
}
