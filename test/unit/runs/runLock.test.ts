import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock, type LockHolder, lockHolder } from '@runner/runs/runLock';
import { afterEach, describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';
import { mountDisk, processOf } from './support';

const folder = temporaryFolders();
const start = processOf('lockProcess');
const readOnly = mountDisk('size=1m,ro');
const children: ChildProcess[] = [];

async function contender(dir: string): Promise<{ child: ChildProcess; said: string }> {
  const child = start(dir);
  children.push(child);
  const [said] = await once(child.stdout!, 'data');
  return { child, said: String(said).trim() };
}

async function end(child: ChildProcess, how: 'kill' | 'release'): Promise<void> {
  const exited = once(child, 'exit');
  if (how === 'kill') child.kill('SIGKILL');
  else child.stdin!.end();
  await exited;
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

describe('two processes on one run directory', () => {
  it('do not train at the same time: the second is told which process does', async () => {
    const dir = await folder();
    const { child, said } = await contender(dir);
    expect(said).toBe('held');
    const error = await failure(acquireLock(dir));
    expect(error).toMatchObject({ code: 'run_locked', exitStatus: 1, data: { pid: child.pid } });
    expect(error.message).toContain(`${dir}: process ${child.pid} trains in this run directory`);
    expect(await lockHolder(dir)).toMatchObject({ pid: child.pid });
  });

  it.each(['kill', 'release'] as const)('follow each other when the first one ends by a %s', async (how) => {
    const dir = await folder();
    const { child } = await contender(dir);
    await end(child, how);
    expect(await lockHolder(dir)).toBeUndefined();
    const lock = await acquireLock(dir);
    expect((await contender(dir)).said).toBe('run_locked');
    await lock.release();
    expect((await contender(dir)).said).toBe('held');
  });

  it('start at once behind one that was killed: one of them trains', async () => {
    const dir = await folder();
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(Array.from({ length: 6 }, () => contender(dir)));
      expect(all.map(({ said }) => said).sort()).toEqual(['held', ...Array(5).fill('run_locked')]);
      for (const { child } of all) await end(child, 'kill');
    }
  });
});

describe('the lock', () => {
  it('keeps out this very process, too, until it is released', async () => {
    const dir = await folder();
    const many = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(dir)));
    const locks = many.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(locks).toHaveLength(1);
    expect(await failure(acquireLock(dir))).toMatchObject({ code: 'run_locked', data: { pid: process.pid } });
    await locks[0]!.release();
    const next = await acquireLock(dir);
    // A second release must not let anybody in beside the next holder.
    await locks[0]!.release();
    expect(await failure(acquireLock(dir))).toMatchObject({ code: 'run_locked' });
    await next.release();
  });

  it('leaves one small file, whatever was killed before', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'run.lock.1'), '');
    await writeFile(join(dir, 'run.lock.2.77-123'), 'half');
    for (let i = 0; i < 3; i++) await (await acquireLock(dir)).release();
    expect(await readdir(dir)).toHaveLength(1);
  });

  it.each([
    ['a process of the same id that began later', { started: '1' }],
    ['the machine that was started anew since', { boot: 'another' }],
  ])('is not held by %s', async (_, change) => {
    const dir = await folder();
    await forge(dir, change);
    expect(await lockHolder(dir)).toBeUndefined();
    await (await acquireLock(dir)).release();
  });

  it.each([
    ['on another machine', { host: 'elsewhere', boot: 'another' }],
    ['in another container', { namespace: 'pid:[1]' }],
  ])('stays with a process %s, which cannot be asked, and says what to remove', async (_, change) => {
    const dir = await folder();
    const { host } = await forge(dir, change);
    const error = await failure(acquireLock(dir));
    expect(error.code).toBe('run_locked');
    expect(error.message).toContain(`on the machine "${host}"`);
    expect(error.message).toContain(`remove ${join(dir, 'run.lock.1')}`);
  });

  it('needs a directory that is there and may be written', async () => {
    const dir = await folder();
    expect(await failure(acquireLock(join(dir, 'none')))).toMatchObject({ code: 'file_not_found' });
    await writeFile(join(dir, 'file'), '');
    expect(await failure(acquireLock(join(dir, 'file')))).toMatchObject({ code: 'not_writable' });
  });

  it.skipIf(!readOnly)('refuses a read-only run directory (skipped where none can be mounted)', async () => {
    expect(await failure(acquireLock(readOnly!))).toMatchObject({ code: 'not_writable', exitStatus: 1 });
  });
});

/** Puts the lock of a process like this one into a directory, with something about it changed. */
async function forge(dir: string, change: Partial<LockHolder>): Promise<LockHolder> {
  const scratch = await folder();
  await acquireLock(scratch);
  const holder = { ...JSON.parse(await readFile(join(scratch, 'run.lock.1'), 'utf8')), ...change };
  await writeFile(join(dir, 'run.lock.1'), JSON.stringify(holder));
  return holder;
}
