import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findLastGood, writeCheckpoint, writeModelDir } from '@runner/train/checkpoint';
import { afterAll, describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';
import { baseModel, checkpointOf } from './fixtures';

const folder = temporaryFolders();
const place = mkdtempSync(join(tmpdir(), 'tuneyard-disk-'));
const mounted: string[] = [];

/** A small disk of its own; undefined where this process may not mount one. */
function mount(name: string, options: string): string | undefined {
  const dir = join(place, name);
  mkdirSync(dir);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir], { stdio: 'ignore' });
    mounted.push(dir);
    return dir;
  } catch {
    return undefined;
  }
}

const small = mount('small', 'size=12m');
const readOnly = mount('read-only', 'size=1m,ro');
afterAll(() => {
  for (const dir of mounted) execFileSync('umount', [dir]);
  rmSync(place, { recursive: true });
});

describe.skipIf(!small)('a full disk (skipped where no small disk can be mounted)', () => {
  const values = 500_000; // 8 MB in all

  it('is seen before a checkpoint is begun, with the bytes needed and free', async () => {
    const base = await baseModel(join(await folder(), 'base'));
    const root = join(small!, 'checkpoints');
    const error = await failure(writeCheckpoint(checkpointOf(root, base, 1, 2 * values)));
    expect(error.code).toBe('disk_full');
    const { bavail, bsize } = await statfs(small!);
    expect(error.data.free_bytes).toBe(bavail * bsize);
    expect(error.data.needed_bytes).toBeGreaterThan(16_000_000);
    expect(error.message).toMatch(/needs 17\.0 MB and only 12\.\d MB are free/);
    expect(await readdir(small!)).toEqual([]);
  });

  it('in the middle of a checkpoint leaves nothing half-written and the one before it whole', async () => {
    const base = await baseModel(join(await folder(), 'base'));
    const root = join(small!, 'checkpoints');
    await writeCheckpoint(checkpointOf(root, base, 1, 100_000));
    // The state is not counted beforehand, so the disk fills for real.
    const error = await failure(
      writeCheckpoint({ ...checkpointOf(root, base, 2, values), state: 'x'.repeat(6 << 20) }),
    );
    expect(error.code).toBe('disk_full');
    expect(error.message).toContain('step-2');
    expect(await readdir(root)).toEqual(['step-1']);
    expect((await findLastGood(root)).checkpoint?.step).toBe(1);
  });
});

describe.skipIf(!readOnly)('a read-only disk (skipped where none can be mounted)', () => {
  it('is named with what to do, for checkpoints and for the final model', async () => {
    const base = await baseModel(join(await folder(), 'base'));
    const { modelFiles, weights, ...rest } = checkpointOf(join(readOnly!, 'checkpoints'), base, 1, 10);
    for (const attempt of [
      () => writeCheckpoint({ modelFiles, weights, ...rest }),
      () => writeModelDir({ dir: join(readOnly!, 'model'), ...modelFiles, weights }),
    ]) {
      const error = await failure(attempt());
      expect(error.code).toBe('not_writable');
      expect(error.message).toMatch(/read-only file system; choose another folder/);
    }
  });
});
