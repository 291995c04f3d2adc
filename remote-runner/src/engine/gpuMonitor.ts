/** How busy the GPUs are, watched while a run computes on one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { GpuUse } from '@protocol/events';
import { bytes, cells, query, share } from './gpus';

const FIELDS = ['index', 'memory.used', 'utilization.gpu'];
const EVERY_SECONDS = 2;
/** What was told before this long ago is not how it is. */
const FRESH_MS = 5 * EVERY_SECONDS * 1000;

/**
 * One `nvidia-smi` that tells again and again, so that no step waits for an answer, nor for a process to start. Where
 * there is none, nothing is known. It ends with this process: what it writes to is gone then.
 */
export class GpuMonitor {
  readonly #told = new Map<number, { use: GpuUse; at: number }>();
  readonly #process: ChildProcess;

  constructor() {
    const child = spawn('nvidia-smi', [...query(FIELDS), `--loop=${EVERY_SECONDS}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#process = child;
    child.on('error', () => {});
    child.unref();
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(line));
    // A run that is done does not wait for more.
    (child.stdout as typeof child.stdout & { unref(): void }).unref();
  }

  /** Undefined where nothing was told lately. */
  latest(now = performance.now()): GpuUse[] | undefined {
    const fresh = [...this.#told.values()].filter(({ at }) => now - at < FRESH_MS);
    return fresh.length > 0 ? fresh.map(({ use }) => use).sort((a, b) => a.index - b.index) : undefined;
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }

  #take(line: string): void {
    for (const [index, used, busy] of cells(line, FIELDS.length) ?? []) {
      const use = { index: Number(index), used_bytes: bytes(used!), utilization: share(busy!) };
      this.#told.set(use.index, { use, at: performance.now() });
    }
  }
}
