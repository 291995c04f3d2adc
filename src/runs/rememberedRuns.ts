/** The last known runs of each host, kept on this machine: a file a host, so that windows do not undo each other's. */
import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunSummary } from '@protocol/runner';

/** Figures change with every step; a disk need not follow each. */
const SAVE_MS = 2000;
const MONTH_MS = 30 * 86_400_000;

interface Remembered {
  host: string;
  runs: RunSummary[];
}

export class RememberedRuns {
  readonly #unsaved = new Map<string, readonly RunSummary[]>();
  #saving: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly folder: string,
    private readonly log: (text: string) => void,
  ) {}

  /** What a file does not give is not remembered. */
  async load(): Promise<Remembered[]> {
    const names = await readdir(this.folder).catch(() => []);
    const read = names
      .filter((name) => name.endsWith('.json'))
      .map(async (name): Promise<Remembered[]> => {
        try {
          const found: Remembered = JSON.parse(await readFile(join(this.folder, name), 'utf8'));
          return typeof found.host === 'string' && Array.isArray(found.runs) ? [found] : [];
        } catch {
          return [];
        }
      });
    void this.#dropOldClaims();
    return (await Promise.all(read)).flat();
  }

  save(host: string, runs: readonly RunSummary[]): void {
    this.#unsaved.set(host, runs);
    this.#timer ??= setTimeout(() => this.#write(), SAVE_MS);
  }

  forget(host: string): void {
    this.#unsaved.delete(host);
    this.#saving = this.#saving.then(() => rm(this.#path(host), { force: true }));
  }

  /** Whether this window is the first to say so: true once for a name, among all windows. */
  async claim(name: string): Promise<boolean> {
    try {
      await mkdir(this.#claims, { recursive: true });
      await writeFile(join(this.#claims, hash(name)), '', { flag: 'wx' });
      return true;
    } catch (error) {
      // Where nothing can be written, twice is better than never.
      return (error as NodeJS.ErrnoException).code !== 'EEXIST';
    }
  }

  /** Resolves when all is on disk. */
  settled(): Promise<void> {
    this.#write();
    return this.#saving;
  }

  /** The window closes: nothing waits for what takes its time. */
  dispose(): void {
    clearTimeout(this.#timer);
    try {
      if (this.#unsaved.size > 0) mkdirSync(this.folder, { recursive: true });
      for (const [host, runs] of this.#unsaved) {
        const temporary = this.#temporary(host);
        writeFileSync(temporary, text(host, runs));
        renameSync(temporary, this.#path(host));
      }
    } catch {
      // Nobody is there to hear of it.
    }
    this.#unsaved.clear();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const hosts = [...this.#unsaved];
    this.#unsaved.clear();
    for (const [host, runs] of hosts) {
      this.#saving = this.#saving
        .then(async () => {
          await mkdir(this.folder, { recursive: true });
          await writeFile(this.#temporary(host), text(host, runs));
          await rename(this.#temporary(host), this.#path(host));
        })
        .catch((error: unknown) => this.log(`What runs there are cannot be remembered: ${error}`));
    }
  }

  #path(host: string): string {
    return join(this.folder, `${hash(host)}.json`);
  }

  #temporary(host: string): string {
    return `${this.#path(host)}.${process.pid}`;
  }

  get #claims(): string {
    return `${this.folder}-told`;
  }

  async #dropOldClaims(): Promise<void> {
    for (const name of await readdir(this.#claims).catch(() => [])) {
      const path = join(this.#claims, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      if (Date.now() - mtimeMs > MONTH_MS) await rm(path, { force: true });
    }
  }
}

const hash = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 24);
const text = (host: string, runs: readonly RunSummary[]): string => JSON.stringify({ host, runs });
