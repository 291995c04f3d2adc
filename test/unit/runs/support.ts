import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll } from 'vitest';

const fromRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Bundles a script of this folder once; the function starts it as a process of its own. */
export function processOf(script: string): (...args: string[]) => ChildProcess {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tuneyard-process-'));
    const result = await build({
      entryPoints: [fromRepository(`test/unit/runs/${script}.ts`)],
      alias: { '@protocol': fromRepository('src/protocol'), '@runner': fromRepository('remote-runner/src') },
      bundle: true,
      platform: 'node',
      format: 'esm',
      write: false,
    });
    await writeFile(join(dir, `${script}.mjs`), result.outputFiles[0]!.text);
  });
  afterAll(() => rm(dir, { recursive: true }));
  return (...args) =>
    spawn(process.execPath, [join(dir, `${script}.mjs`), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
}

/**
 * A disk of its own for the tests of a file; undefined where this process may not mount one.
 * @param options tmpfs options: `size=64k`, `ro`
 */
export function mountDisk(options: string): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'tuneyard-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir], { stdio: 'ignore' });
  } catch {
    rmdirSync(dir);
    return undefined;
  }
  afterAll(() => {
    execFileSync('umount', [dir]);
    rmdirSync(dir);
  });
  return dir;
}
