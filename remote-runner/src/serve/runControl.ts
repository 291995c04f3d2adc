/** Runs begun, ended and taken away on behalf of a client. Training itself is a process that outlives this one. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import type { RunSummary } from '@protocol/runner';
import type { RunFiles, RunSource, StartRun } from '@protocol/serve';
import { FETCHED_FILE, type Fetched } from '@protocol/watchdog';
import { asWriteError } from '../hub/diskError';
import { replaceFile } from '../hub/durableFile';
import { openEventLog } from '../runs/eventLog';
import { identityState } from '../runs/processIdentity';
import {
  createRun,
  INPUT_FILE,
  isRun,
  LOG_FILE,
  openRun,
  PROCESS_LOG_FILE,
  RECIPE_FILE,
  type RunLocation,
  SOURCE_FILE,
} from '../runs/runDir';
import { RunFigures } from '../runs/runFigures';
import { acquireLock, isStopping, type LockHolder, lockHolder, markStopping } from '../runs/runLock';
import { failureOf, onLines, startSelf } from './children';

/**
 * Begins a run in a process of its own.
 * @throws TuneyardError what that process failed with before its run began; no run is left then
 */
export async function startRun({ recipe, name, source }: StartRun, signal: AbortSignal): Promise<RunSummary> {
  const { dir } = await createRun({ name });
  try {
    const input = join(dir, INPUT_FILE);
    await writeJson(input, recipe);
    if (source) await writeJson(join(dir, SOURCE_FILE), source);
    await train(input, dir, [], signal);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  return new RunFigures(dir).refresh();
}

/** @throws TuneyardError `run_not_found`; `run_locked` where it is alive; what the process failed with at once */
export async function resumeRun(run: string, set: readonly string[], signal: AbortSignal): Promise<RunSummary> {
  const { dir } = await find(run);
  // As it last went on, with what was changed then; but from its last checkpoint, wherever it went on from.
  const recipe = join(dir, RECIPE_FILE);
  const file = (await exists(recipe)) ? recipe : join(dir, INPUT_FILE);
  const settings = ['resume_from_checkpoint=true', ...set];
  await train(file, dir, ['--resume', ...settings.flatMap((setting) => ['--set', setting])], signal);
  return summaryOf(run);
}

export async function summaryOf(run: string): Promise<RunSummary> {
  const { id, dir } = await find(run);
  return { ...(await new RunFigures(dir).refresh()), id };
}

/** Until a process that trains has its run directory: it reads a recipe, and takes a lock. */
const BEGIN_MS = 60_000;

/** A session of its own: no terminal, no SSH connection and no parent takes it along. */
async function train(file: string, dir: string, more: readonly string[], signal: AbortSignal): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const log = openSync(join(dir, PROCESS_LOG_FILE), 'a');
  const argv = ['train', file, '--run-dir', dir, '--queue', '--json', ...more];
  const child = startSelf(argv, { cwd: dir, detached: true, stdio: ['ignore', 'pipe', log] });
  let failure: TuneyardError | undefined;
  // Waited for in both cases, so that nothing of it is left when that is said.
  const giveUp = (error: TuneyardError) => {
    failure = error;
    child.kill('SIGKILL');
  };
  const cancel = () => giveUp(new TuneyardError('cancelled', 'cancelled.'));
  const limit = setTimeout(() => {
    giveUp(new TuneyardError('timed_out', 'training did not begin within a minute; see how busy the machine is.'));
  }, BEGIN_MS);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      onLines(child.stdout!, (data) => {
        failure = (data && failureOf(data)) ?? failure;
        if (data && 'type' in data && data.type === 'run') resolve();
      });
      child.on('close', (code) => {
        reject(failure ?? new TuneyardError('internal', `training ended with status ${code} before it began.`));
      });
    });
  } finally {
    clearTimeout(limit);
    signal.removeEventListener('abort', cancel);
    closeSync(log);
    // What it says further is in its own files.
    child.stdout!.destroy();
    child.unref();
  }
}

/** Asks a run to stop at the end of its step, with a checkpoint. Asked again, it would end at once: that is not meant. */
export async function stopRun(run: string): Promise<void> {
  const { dir } = await find(run);
  const holder = await holderOf(run);
  if (await isStopping(dir)) return;
  sendSignal(holder, 'SIGINT');
  await markStopping(dir);
}

const GONE_MS = 15_000;

/** Ends a run at once. What it did since its last checkpoint is lost. */
export async function killRun(run: string): Promise<void> {
  const { dir } = await find(run);
  const holder = await holderOf(run);
  sendSignal(holder, 'SIGKILL');
  const limit = Date.now() + GONE_MS;
  while (identityState(holder) === 'running') {
    if (Date.now() > limit) {
      throw new TuneyardError(
        'timed_out',
        `process ${holder.pid} does not end; see what it waits for (ps -l ${holder.pid}).`,
      );
    }
    await sleep(50);
  }
  const { step, state } = await new RunFigures(dir).refresh();
  if (state !== 'crashed') return;
  const lock = await acquireLock(dir);
  try {
    const log = await openEventLog(dir);
    log.append({
      type: 'end',
      status: 'stopped',
      step,
      code: 'cancelled',
      message: 'ended at once, by hand.',
      runtime: 0,
    });
    await log.close();
  } finally {
    await lock.release();
  }
}

/** As a client names it: whole. What a person may cut short would here mean another run when its own is gone. */
export async function find(run: string): Promise<RunLocation> {
  const found = await openRun(run);
  const isMeant = found.id === run || found.dir === run;
  if (isMeant && (await isRun(found.dir))) return { id: run, dir: found.dir };
  throw new TuneyardError('run_not_found', `there is no run "${run}" any more.`, { data: {} });
}

async function holderOf(run: string): Promise<LockHolder> {
  const { id, dir } = await find(run);
  const holder = await lockHolder(dir);
  if (!holder) throw new TuneyardError('usage', `the run "${id}" is not running.`);
  if (identityState(holder) === 'unknown') {
    throw new TuneyardError(
      'run_locked',
      `process ${holder.pid} on the machine "${holder.host}" trains "${id}"; end it there.`,
    );
  }
  return holder;
}

function sendSignal(holder: LockHolder, name: NodeJS.Signals): void {
  try {
    process.kill(holder.pid, name);
  } catch (cause) {
    // It ended by itself meanwhile.
    if (identityState(holder) === 'gone') return;
    throw new TuneyardError('remote_failed', `process ${holder.pid} cannot be signalled; it belongs to another user.`, {
      cause,
    });
  }
}

/** Removes a run for good. @throws TuneyardError `run_locked` where it is alive */
export async function deleteRun(run: string): Promise<{ freed_bytes: number }> {
  const { dir } = await find(run);
  // Held so that nobody resumes it meanwhile.
  const lock = await acquireLock(dir);
  try {
    const freed_bytes = await bytesUnder(dir);
    await rm(dir, { recursive: true, force: true }).catch((error: unknown) => {
      throw asWriteError(error, dir);
    });
    return { freed_bytes };
  } finally {
    await lock.release();
  }
}

export async function filesOf(run: string): Promise<RunFiles> {
  const { dir } = await find(run);
  const figures = new RunFigures(dir);
  const { model_path } = await figures.refresh();
  const folder = join(dir, 'checkpoints');
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^step-\d+$/.test(name));
  const checkpoints = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const step = Number(name.slice('step-'.length));
      return { step, path, bytes: await bytesUnder(path), best: step === figures.bestStep };
    }),
  );
  return {
    bytes: await bytesUnder(dir),
    checkpoints: checkpoints.sort((a, b) => a.step - b.step),
    ...(model_path !== undefined && (await exists(model_path)) && { model_path }),
  };
}

/** Notes that what the run has left so far is on another machine. */
export async function markFetched(run: string, what: Fetched['what']): Promise<void> {
  const { dir } = await find(run);
  const figures = new RunFigures(dir);
  await figures.refresh();
  const fetched: Fetched = { time: new Date().toISOString(), seq: figures.lastSeq, what };
  await writeJson(join(dir, FETCHED_FILE), fetched);
}

/** A run's recipe as it was begun: from its own file, or with every default filled in. */
export async function recipeOf(run: string): Promise<{ recipe: Record<string, unknown>; source?: RunSource }> {
  const { dir } = await find(run);
  const input = await readJson(join(dir, INPUT_FILE));
  const kept = (await readJson(join(dir, RECIPE_FILE))) ?? input;
  if (!kept) {
    throw new TuneyardError('run_not_found', 'the run keeps no recipe.', { place: { file: dir } });
  }
  // Whether it went on since is not the recipe's: a copy of it would want to go on as well.
  const { resume_from_checkpoint: _, ...recipe } = kept;
  const from = input?.resume_from_checkpoint;
  if (from !== undefined) recipe.resume_from_checkpoint = from;
  const source = await readJson(join(dir, SOURCE_FILE));
  return { recipe, ...(source && { source: source as RunSource }) };
}

/** A log larger than this is read from behind. */
const LOG_BYTES = 1 << 20;

export async function logOf(run: string, lines: number): Promise<{ path: string; text: string }> {
  const { dir } = await find(run);
  const path = join(dir, LOG_FILE);
  const texts = await Promise.all([tail(path), tail(join(dir, PROCESS_LOG_FILE))]);
  const text = texts.map((part) => part.trimEnd().split('\n').slice(-lines).join('\n'));
  // What the process itself said, where it said more than the runner's log has: a crash of native code.
  return { path, text: text.filter((part) => part !== '').join('\n\n') };
}

async function tail(path: string): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (!file) return '';
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - LOG_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function bytesUnder(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = entries.map(async (entry) =>
    entry.isFile() ? (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size : 0,
  );
  return (await Promise.all(sizes)).reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await replaceFile(path, [new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)]);
}
