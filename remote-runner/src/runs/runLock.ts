/**
 * The lock of a run directory: one process at a time trains there. It survives no process: whoever died with it is
 * recognised and followed.
 *
 * Each holder makes a file of its own, `run.lock.N`, N one above the last. Making a name that must not exist yet is
 * atomic, and the highest number is never removed, so that of any two processes the later one sees the earlier one's
 * file: a single lock file that is replaced when stale could be replaced by two at once.
 */
import { readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from '../hub/diskError';
import { createWhole } from '../hub/durableFile';
import { identityState, ownIdentity, type ProcessIdentity } from './processIdentity';

export interface RunLock {
  /** Lets others in. The second call does nothing. */
  release(): Promise<void>;
}

export interface LockHolder extends ProcessIdentity {
  /** ISO 8601. */
  since: string;
}

interface LockFile {
  number: number;
  path: string;
  /** Absent where it was released. */
  holder?: LockHolder;
}

const PREFIX = 'run.lock.';

/**
 * @param dir a run directory
 * @throws TuneyardError `run_locked`, naming the process that holds it; `not_writable`, `disk_full`, `file_not_found`
 */
export async function acquireLock(dir: string): Promise<RunLock> {
  const holder: LockHolder = { ...ownIdentity(), since: new Date().toISOString() };
  for (;;) {
    const last = await lastLock(dir);
    if (last?.holder && identityState(last.holder) !== 'gone') throw lockedError(dir, last.path, last.holder);
    const number = (last?.number ?? 0) + 1;
    const path = join(dir, `${PREFIX}${number}`);
    if (!(await createWhole(path, `${JSON.stringify(holder)}\n`))) continue;
    // Between the look and the creation others may have come, gone, and cleaned up behind themselves.
    if ((await lastLock(dir))?.number !== number) {
      await rm(path, { force: true });
      continue;
    }
    await removeOlder(dir, number);
    return new HeldLock(path);
  }
}

/**
 * The process that holds a run's lock, or undefined where none does.
 * @param dir a run directory
 */
export async function lockHolder(dir: string): Promise<LockHolder | undefined> {
  const holder = (await lastLock(dir).catch(() => undefined))?.holder;
  return holder && identityState(holder) !== 'gone' ? holder : undefined;
}

/**
 * Notes that whoever holds the lock was asked to stop, for all who look. It goes with the lock.
 * @returns false where it had been asked before, or where nobody holds it
 */
export async function markStopping(dir: string): Promise<boolean> {
  const lock = await lastLock(dir);
  return lock?.holder !== undefined && createWhole(stopMark(lock), '').catch(() => true);
}

/** Whether {@link markStopping} was called for the present holder. */
export async function isStopping(dir: string): Promise<boolean> {
  const lock = await lastLock(dir).catch(() => undefined);
  return lock?.holder !== undefined && (await stat(stopMark(lock)).catch(() => undefined)) !== undefined;
}

const stopMark = ({ path }: LockFile): string => `${path}.stop`;

class HeldLock implements RunLock {
  #released = false;

  constructor(private readonly path: string) {}

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    // Needs no space, on a disk that may be full; an empty file is nobody's.
    await truncate(this.path).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT') throw asWriteError(error, this.path);
    });
  }
}

async function lastLock(dir: string): Promise<LockFile | undefined> {
  for (;;) {
    const whole = (await lockFiles(dir)).filter(({ name, number }) => name === `${PREFIX}${number}`);
    const number = Math.max(0, ...whole.map(({ number }) => number));
    if (number === 0) return undefined;
    const path = join(dir, `${PREFIX}${number}`);
    try {
      const holder = parseHolder(await readFile(path, 'utf8'));
      return { number, path, ...(holder && { holder }) };
    } catch (error) {
      // Somebody with a higher number removed it meanwhile.
      if (systemErrorCode(error) !== 'ENOENT') throw asWriteError(error, path);
    }
  }
}

/** Lock files, and what somebody writes or was killed over before it became one (`run.lock.3.…`). */
async function lockFiles(dir: string): Promise<{ name: string; number: number }[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    throw asWriteError(error, dir);
  });
  return names.flatMap((name) => {
    const digits = name.startsWith(PREFIX) ? /^\d+/.exec(name.slice(PREFIX.length)) : null;
    return digits ? [{ name, number: Number(digits[0]) }] : [];
  });
}

async function removeOlder(dir: string, than: number): Promise<void> {
  for (const { name, number } of await lockFiles(dir)) {
    if (number < than) await rm(join(dir, name), { force: true }).catch(() => undefined);
  }
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'pid' in value ? (value as LockHolder) : undefined;
  } catch {
    // A power cut may have taken the bytes: a machine that lost power holds no lock.
    return undefined;
  }
}

function lockedError(dir: string, file: string, holder: LockHolder): TuneyardError {
  const { pid, host, since } = holder;
  const elsewhere = identityState(holder) === 'unknown';
  const what = elsewhere
    ? `process ${pid} on the machine "${host}" trains in this run directory since ${since}; if it runs no more, remove ${file}.`
    : `process ${pid} trains in this run directory since ${since}; stop it, wait for it, or choose another directory.`;
  return new TuneyardError('run_locked', what, { place: { file: dir }, data: { pid, host, since } });
}
