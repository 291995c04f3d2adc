/**
 * Runs of one machine that want the same device take turns, in the order in which they came. There is no process that
 * hands out turns: each run is a file in `~/.tuneyard/queue`, numbered as it came, and the first of those that live has
 * the device. Whoever dies loses its place at once; a file whose process is gone counts for nothing.
 *
 * A home may be shared. Other machines' runs have devices of their own. Those of other containers on this machine have
 * the same ones, but whether their processes live cannot be seen from here: they count as long as they touch their file.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from '../hub/diskError';
import { createWhole } from '../hub/durableFile';
import { identityState, isOfThisMachine, ownIdentity, type ProcessIdentity } from './processIdentity';
import { tuneyardHome } from './runDir';

export interface QueuePlace {
  /**
   * Resolves when the device is this run's.
   * @param onBehind told who is in front, at first and whenever that changes
   * @throws TuneyardError `cancelled`
   */
  turn(onBehind: (runs: string[]) => void, signal?: AbortSignal): Promise<void>;
  /** Lets the next one in. The second call does nothing. */
  leave(): Promise<void>;
}

interface Waiter extends ProcessIdentity {
  run: string;
  device: string;
}

interface Entry {
  number: number;
  path: string;
  waiter: Waiter | undefined;
}

const POLL_MS = 500;
const TOUCH_MS = 10_000;
/** A process that is busy may touch its file late. */
const TOUCHED_MS = 12 * TOUCH_MS;

/**
 * @param run its id
 * @param device `cpu` or `cuda:N`; different ones do not wait for each other
 * @throws TuneyardError `not_writable`, `disk_full`
 */
export async function joinQueue(run: string, device: string, home = tuneyardHome()): Promise<QueuePlace> {
  const folder = join(home, 'queue');
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw asWriteError(error, folder);
  });
  const waiter: Waiter = { ...ownIdentity(), run, device };
  for (;;) {
    const number = lastNumber(await entries(folder)) + 1;
    const path = join(folder, String(number));
    if (!(await createWhole(path, `${JSON.stringify(waiter)}\n`))) continue;
    // Between the look and the creation others may have come, and gone: only the highest number came last.
    if (lastNumber(await entries(folder)) === number) return new Place(folder, number, device);
    await rm(path, { force: true });
  }
}

class Place implements QueuePlace {
  #left = false;
  readonly #path: string;
  readonly #touching: NodeJS.Timeout;

  constructor(
    private readonly folder: string,
    private readonly number: number,
    private readonly device: string,
  ) {
    this.#path = join(folder, String(number));
    this.#touching = setInterval(() => {
      const now = new Date();
      utimes(this.#path, now, now).catch(() => {});
    }, TOUCH_MS).unref();
  }

  async turn(onBehind: (runs: string[]) => void, signal?: AbortSignal): Promise<void> {
    let told = '';
    for (;;) {
      const behind = await this.#behind();
      if (behind.length === 0) return;
      if (told !== behind.join('\n')) {
        told = behind.join('\n');
        onBehind(behind);
      }
      await sleep(POLL_MS, undefined, { signal }).catch(() => {
        throw new TuneyardError('cancelled', 'the run was stopped while it waited for its device.');
      });
    }
  }

  /** Ids of the living runs in front, the one that has the device first. */
  async #behind(): Promise<string[]> {
    const found: string[] = [];
    for (const { number, path, waiter } of await entries(this.folder)) {
      if (number >= this.number || waiter?.device !== this.device) continue;
      const state = identityState(waiter);
      if (state === 'unknown' && !isOfThisMachine(waiter)) continue;
      const isThere = state === 'running' || (state === 'unknown' && (await wasTouched(path)));
      if (isThere) found.push(waiter.run);
      else await rm(path, { force: true }).catch(() => undefined);
    }
    return found;
  }

  async leave(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    clearInterval(this.#touching);
    await rm(this.#path, { force: true }).catch(() => undefined);
  }
}

async function wasTouched(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs < TOUCHED_MS;
}

const lastNumber = (found: readonly Entry[]): number => found.at(-1)?.number ?? 0;

/** In the order in which they came. */
async function entries(folder: string): Promise<Entry[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+$/.test(name));
  const found = names.map(async (name): Promise<Entry[]> => {
    const path = join(folder, name);
    try {
      return [{ number: Number(name), path, waiter: parse(await readFile(path, 'utf8')) }];
    } catch (error) {
      // It left meanwhile.
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw asWriteError(error, path);
    }
  });
  return (await Promise.all(found)).flat().sort((a, b) => a.number - b.number);
}

function parse(text: string): Waiter | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'pid' in value ? (value as Waiter) : undefined;
  } catch {
    // Spoilt by a power cut, which no process survived.
    return undefined;
  }
}
