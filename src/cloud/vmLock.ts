/**
 * One process at a time changes a VM. Each holder makes a file of its own, `KEY.lock.N`, N one above the last; making a
 * name that must not exist is atomic and the highest is never removed, so that of two the later sees the earlier. Who dies
 * with it is recognised and followed.
 */
import { readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { createWhole } from './durable';
import { mayRun, ownIdentity, type ProcessIdentity } from './processIdentity';

export interface VmLock {
  release(): Promise<void>;
}

/** The lock, or who has it. */
export async function tryLock(folder: string, key: string): Promise<VmLock | ProcessIdentity> {
  for (;;) {
    const last = await lastLock(folder, key);
    if (last?.holder && mayRun(last.holder)) return last.holder;
    const number = (last?.number ?? 0) + 1;
    const path = join(folder, `${key}.lock.${number}`);
    if (!(await createWhole(path, JSON.stringify(ownIdentity())))) continue;
    // Between the look and the creation others may have come, gone, and cleaned up behind themselves.
    if ((await lastLock(folder, key))?.number !== number) {
      await rm(path, { force: true });
      continue;
    }
    for (const older of await numbers(folder, key)) {
      if (older < number) await rm(join(folder, `${key}.lock.${older}`), { force: true });
    }
    let isHeld = true;
    return {
      async release() {
        if (!isHeld) return;
        isHeld = false;
        // An empty file is nobody's; it needs no space on a full disk.
        await truncate(path).catch(() => {});
      },
    };
  }
}

export const isLock = (answer: VmLock | ProcessIdentity): answer is VmLock => 'release' in answer;

/** Who has it, where somebody does. */
export async function holderOf(folder: string, key: string): Promise<ProcessIdentity | undefined> {
  const holder = (await lastLock(folder, key))?.holder;
  return holder && mayRun(holder) ? holder : undefined;
}

async function lastLock(
  folder: string,
  key: string,
): Promise<{ number: number; holder?: ProcessIdentity } | undefined> {
  for (;;) {
    const number = Math.max(0, ...(await numbers(folder, key)));
    if (number === 0) return undefined;
    try {
      const text = await readFile(join(folder, `${key}.lock.${number}`), 'utf8');
      const holder = text === '' ? undefined : (JSON.parse(text) as ProcessIdentity);
      return { number, ...(holder && { holder }) };
    } catch (error) {
      // A power cut may have taken the bytes: a machine that lost power holds no lock.
      if (error instanceof SyntaxError) return { number };
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

async function numbers(folder: string, key: string): Promise<number[]> {
  const prefix = `${key}.lock.`;
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((rest) => /^\d+$/.test(rest))
    .map(Number);
}
