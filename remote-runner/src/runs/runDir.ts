/** Run directories: where they lie, how they are named, and the recipe each one keeps. */
import { createHash, randomInt } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import type { Recipe } from '@protocol/recipe';
import { distance } from 'fastest-levenshtein';
import { asWriteError, systemErrorCode } from '../hub/diskError';
import { replaceFile } from '../hub/durableFile';

export interface RunLocation {
  id: string;
  /** Absolute path. */
  dir: string;
}

export interface NewRun {
  /** Default: {@link tuneyardHome}. */
  home?: string;
  /** A folder of the user's choice instead of one under `home`; made where it does not exist. */
  runDir?: string;
  /** What the run is about, for its id: the recipe's name. */
  name: string;
}

/** Folder of all that the runner keeps: `TUNEYARD_HOME`, or `~/.tuneyard`. */
export function tuneyardHome(): string {
  return resolve(process.env.TUNEYARD_HOME || join(homedir(), '.tuneyard'));
}

/** Folder of the runs that were given no folder of their own. */
export function runsFolder(home = tuneyardHome()): string {
  return join(home, 'runs');
}

/**
 * Makes the directory of a new run. A `runDir` that holds a run already is taken as it is: whether that run may be
 * gone on with is its checkpoints' matter.
 *
 * @throws TuneyardError `not_writable`, `disk_full`; `usage` for a `runDir` that holds something else
 */
export async function createRun({ home, runDir, name }: NewRun): Promise<RunLocation> {
  if (runDir !== undefined) {
    const dir = resolve(runDir);
    await makeFolder(dir);
    if (!(await mayBecomeRun(dir))) {
      throw new TuneyardError('usage', 'this folder holds files that are no run’s; choose a new or an empty folder.', {
        place: { file: dir },
      });
    }
    return { id: basename(dir), dir };
  }
  const runs = runsFolder(home);
  await makeFolder(runs);
  for (;;) {
    const id = newId(name);
    const dir = join(runs, id);
    try {
      await mkdir(dir);
      return { id, dir };
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw asWriteError(error, dir);
    }
  }
}

/**
 * Remembers a run that lies elsewhere than under `home`, so that lists find it. Nothing hangs on it: where it cannot be
 * written, the run goes on.
 */
export async function rememberRun({ dir }: RunLocation, home = tuneyardHome()): Promise<void> {
  if (dirname(dir) === runsFolder(home)) return;
  const folder = join(home, ELSEWHERE);
  const name = createHash('sha256').update(dir).digest('hex').slice(0, 16);
  try {
    await makeFolder(folder);
    await replaceFile(join(folder, name), [new TextEncoder().encode(dir)]);
  } catch {
    // A home that cannot be written is no reason not to train.
  }
}

/** Run directories that are not under `home`. Those that are gone are forgotten. */
export async function elsewhere(home = tuneyardHome()): Promise<string[]> {
  const folder = join(home, ELSEWHERE);
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^[0-9a-f]{16}$/.test(name));
  const found = names.map(async (name): Promise<string[]> => {
    const file = join(folder, name);
    const dir = await readFile(file, 'utf8').catch(() => undefined);
    if (dir === undefined) return [];
    if (await isFolder(dir)) return [dir];
    // Without its parent it may lie on a disk that is only not mounted now.
    if (await isFolder(dirname(dir))) await rm(file, { force: true }).catch(() => undefined);
    return [];
  });
  return (await Promise.all(found)).flat().sort();
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

/**
 * Finds a run by its directory, its id, or a beginning of its id that no other run shares.
 * @throws TuneyardError `run_not_found`, with the nearest known id; `usage` where several ids begin so
 */
export async function openRun(idOrDir: string, home = tuneyardHome()): Promise<RunLocation> {
  const dir = resolve(idOrDir);
  if (await isRun(dir)) return { id: basename(dir), dir };
  const runs = runsFolder(home);
  // Of two folders of one name the list names the first.
  const dirs = new Map((await elsewhere(home)).reverse().map((dir) => [basename(dir), dir]));
  for (const id of await readdir(runs).catch(() => [])) if (!id.startsWith('.')) dirs.set(id, join(runs, id));
  const ids = [...dirs.keys()];
  const found = ids.includes(idOrDir) ? [idOrDir] : ids.filter((id) => idOrDir !== '' && id.startsWith(idOrDir));
  if (found.length === 1) return { id: found[0]!, dir: dirs.get(found[0]!)! };
  if (found.length > 1) {
    throw new TuneyardError('usage', `the ids of ${found.length} runs begin with "${idOrDir}"; give more of it.`, {
      data: { runs: found },
    });
  }
  const nearest = ids.map((id) => ({ id, score: distance(id, idOrDir) })).sort((a, b) => a.score - b.score)[0]?.id;
  const hint = nearest === undefined ? `there are none in ${runs}` : `the nearest known one is "${nearest}"`;
  throw new TuneyardError('run_not_found', `no run "${idOrDir}": ${hint}; "tuneyard runs" lists them.`, {
    data: nearest === undefined ? {} : { nearest },
  });
}

/**
 * Keeps a run's recipe beside its events, every default filled in.
 * @param recipe with absolute paths, so that it means the same when read from here
 * @throws TuneyardError `not_writable`, `disk_full`
 */
export async function writeRecipe(dir: string, recipe: Recipe): Promise<void> {
  await replaceFile(join(dir, RECIPE_FILE), [new TextEncoder().encode(`${JSON.stringify(recipe, null, 2)}\n`)]);
}

export const RECIPE_FILE = 'recipe.json';
export const EVENTS_FILE = 'events.jsonl';
export const LOG_FILE = 'runner.log';
/** What a process of its own was given and said, where another program began the run. */
export const INPUT_FILE = 'input.tune.json';
export const SOURCE_FILE = 'source.json';
export const PROCESS_LOG_FILE = 'process.log';
const OURS: readonly string[] = [LOG_FILE, INPUT_FILE, SOURCE_FILE, PROCESS_LOG_FILE];
/** Where under the home it is kept which runs lie elsewhere. */
const ELSEWHERE = 'elsewhere';

/** With its parents, one by one: Node's own recursion takes a read-only disk for a missing folder. */
async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST' && (await isFolder(dir))) return;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw asWriteError(error, dir);
    await makeFolder(dirname(dir));
    // Once more only: in /proc a folder cannot be made however long its parent has been there.
    await mkdir(dir).catch((again: unknown) => {
      if (systemErrorCode(again) !== 'EEXIST') throw asWriteError(again, dir);
    });
  }
}

/** Whether a folder holds a run, be it one that only just began. */
export async function isRun(dir: string): Promise<boolean> {
  const files = await Promise.all(
    [RECIPE_FILE, EVENTS_FILE].map((file) => stat(join(dir, file)).catch(() => undefined)),
  );
  return files.some((file) => file?.isFile());
}

/** Nothing that a person left in a folder may be mixed up with a run's files. */
async function mayBecomeRun(dir: string): Promise<boolean> {
  const files = await readdir(dir).catch((error: unknown) => {
    throw asWriteError(error, dir);
  });
  // A run that failed early leaves no more than its log and its lock.
  const ours = (file: string) => OURS.includes(file) || file.startsWith('run.lock') || file.startsWith('.');
  return files.every(ours) || (await isRun(dir));
}

/** `20261122-143005-backstories-k3f9`: sorts by time (UTC), and says what it is. */
function newId(name: string): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const words = name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  const salt = randomInt(36 ** 4)
    .toString(36)
    .padStart(4, '0');
  return `${time}-${words || 'run'}-${salt}`;
}
