/** What the watchdog knows across its own restarts, and what it last said, for whoever looks over SSH. */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { WatchdogReport } from '@protocol/watchdog';
import { replaceFile } from '../hub/durableFile';

export interface Memory {
  /** Google's number of the instance: a disk that was moved to another VM brings its memory along. */
  instance?: string;
  /** Changes with each boot. */
  boot?: string;
  /** Directories of the runs that were live at last, from the home. */
  live: string[];
  /** Directories of the runs that were stopped because the VM ended: no person's wish. Until its next boot. */
  broken_off?: string[];
  /** There was a run on this VM. */
  had_runs: boolean;
  /** What another VM left was brought here. */
  brought?: boolean;
  /** Metadata as last read: what was asked for counts also while the metadata server does not answer. */
  attributes?: Record<string, string>;
  report?: WatchdogReport;
}

export async function readMemory(path: string): Promise<Memory> {
  try {
    const { live, had_runs, ...more } = JSON.parse(await readFile(path, 'utf8')) as Partial<Memory>;
    return { ...more, live: Array.isArray(live) ? live : [], had_runs: had_runs === true };
  } catch {
    return { live: [], had_runs: false };
  }
}

export async function writeMemory(path: string, memory: Memory): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await replaceFile(path, [new TextEncoder().encode(`${JSON.stringify(memory, null, 2)}\n`)]);
}
