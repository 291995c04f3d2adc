/**
 * The record of VMs: `~/.tuneyard/vms/`. One file a VM, replaced whole; beside it a folder with its SSH key and its host
 * keys; `locks/` says who is busy with which; `history/` keeps what VMs that are gone have cost.
 */
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Disposable } from 'vscode-jsonrpc';
import { throwIfAborted } from '../hosts/limits';
import { createWhole, replaceFile, syncFolder } from './durable';
import { holderOf, isLock, tryLock, type VmLock } from './vmLock';
import type { VmRecord } from './vmRecord';

/** `TUNEYARD_HOME`, or `~/.tuneyard`. */
export const tuneyardHome = (): string => process.env.TUNEYARD_HOME || join(homedir(), '.tuneyard');

const HISTORY_MS = 90 * 24 * 3600_000;
const LOOK_MS = 100;
/** Several files are written for one change. */
const SETTLE_MS = 50;

export class Ledger {
  readonly folder: string;
  readonly #locks: string;
  readonly #history: string;

  constructor(home: string) {
    this.folder = join(home, 'vms');
    this.#locks = join(this.folder, 'locks');
    this.#history = join(this.folder, 'history');
  }

  /** Those that are (to be) there, oldest first. */
  async list(): Promise<VmRecord[]> {
    return this.#read(this.folder);
  }

  async get(key: string): Promise<VmRecord | undefined> {
    return readRecord(join(this.folder, `${key}.json`));
  }

  /** Those that are gone, newest first. */
  async history(): Promise<VmRecord[]> {
    return (await this.#read(this.#history)).sort((a, b) => (b.ended?.at ?? 0) - (a.ended?.at ?? 0));
  }

  /** @throws `usage` where the name is taken */
  async create(record: VmRecord): Promise<void> {
    await this.#prepare();
    if ((await this.get(record.key)) === undefined) await rm(this.#wish(record.key), { force: true });
    if (await createWhole(this.#file(record), format(record))) return;
    const sentence = l10n.t('There is a VM named {0} already: choose another name.', record.name);
    throw new TuneyardError('usage', sentence, { data: { reason: 'exists' } });
  }

  async write(record: VmRecord): Promise<void> {
    await replaceFile(this.#file(record), format(record));
  }

  /** It is no more: its record becomes history, its key goes. What a crash leaves undone is done when called again. */
  async end(record: VmRecord): Promise<void> {
    await this.write(record);
    await rename(this.#file(record), join(this.#history, `${record.key}~${record.id.slice(0, 8)}.json`));
    await syncFolder(this.#history);
    await rm(this.files(record.key).folder, { recursive: true, force: true });
    await rm(this.#wish(record.key), { force: true });
  }

  /** Where its key and its host keys are; the folder is made with its key. */
  files(key: string): { folder: string; identity: string; knownHosts: string } {
    const folder = join(this.folder, key);
    return { folder, identity: join(folder, 'id_ed25519'), knownHosts: join(folder, 'known_hosts') };
  }

  /** What was left by a crash between two steps, and history that is too old. */
  async tidy(now: number): Promise<void> {
    const live = await this.list();
    for (const record of live) {
      if (record.ended && !(await this.isBusy(record.key))) await this.end(record).catch(() => {});
    }
    for (const record of await this.history()) {
      if (now - (record.ended?.at ?? now) < HISTORY_MS) continue;
      await rm(join(this.#history, `${record.key}~${record.id.slice(0, 8)}.json`), { force: true });
    }
    for (const entry of await readdir(this.folder, { withFileTypes: true }).catch(() => [])) {
      if (entry.name.endsWith('.tmp')) await this.#removeOld(join(this.folder, entry.name));
      if (!entry.isDirectory() || ['locks', 'history'].includes(entry.name)) continue;
      // A record is there before its folder is; one that cannot be read is one all the same
      const record = await stat(join(this.folder, `${entry.name}.json`)).catch(() => undefined);
      if (!record) await rm(join(this.folder, entry.name), { recursive: true, force: true });
    }
  }

  /** Waits where another process, or another call of this one, is busy with it. */
  async lock(key: string, { signal, onWait }: { signal?: AbortSignal; onWait?(): void } = {}): Promise<VmLock> {
    for (let tries = 0; ; tries++) {
      throwIfAborted(signal);
      const lock = await this.tryLock(key);
      if (lock) return lock;
      if (tries === 0) onWait?.();
      await delay(LOOK_MS, undefined, { ...(signal && { signal }) }).catch(() => {});
    }
  }

  async tryLock(key: string): Promise<VmLock | undefined> {
    await this.#prepare();
    const answer = await tryLock(this.#locks, key);
    return isLock(answer) ? answer : undefined;
  }

  async isBusy(key: string): Promise<boolean> {
    return (await holderOf(this.#locks, key)) !== undefined;
  }

  /** Tells whoever is busy with it that it is to be deleted. */
  async wishGone(key: string): Promise<void> {
    await this.#prepare();
    await writeFile(this.#wish(key), '');
  }

  async isWishedGone(key: string): Promise<boolean> {
    return (await stat(this.#wish(key)).catch(() => undefined)) !== undefined;
  }

  /** Called when any process has changed anything. */
  watch(listener: () => void): Disposable {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    let timer: NodeJS.Timeout | undefined;
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(this.folder, { persistent: false }, (_, name) => {
        if (name !== null && !name.endsWith('.json')) return;
        clearTimeout(timer);
        timer = setTimeout(listener, SETTLE_MS);
      });
      watcher.on('error', () => watcher?.close());
    } catch {
      // No more watches to be had: it is listed when asked.
    }
    return {
      dispose: () => {
        clearTimeout(timer);
        watcher?.close();
      },
    };
  }

  async #prepare(): Promise<void> {
    for (const folder of [this.folder, this.#locks, this.#history])
      await mkdir(folder, { recursive: true, mode: 0o700 });
  }

  #file({ key }: VmRecord): string {
    return join(this.folder, `${key}.json`);
  }

  #wish(key: string): string {
    return join(this.#locks, `${key}.end`);
  }

  async #read(folder: string): Promise<VmRecord[]> {
    const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
    const records = await Promise.all(names.map((name) => readRecord(join(folder, name))));
    return records.filter((record) => record !== undefined).sort((a, b) => a.written - b.written);
  }

  async #removeOld(path: string): Promise<void> {
    const found = await stat(path).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > 3600_000) await rm(path, { force: true });
  }
}

async function readRecord(path: string): Promise<VmRecord | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as VmRecord;
  } catch {
    // Gone meanwhile; or damaged by hand, and then the VM is found by its labels.
    return undefined;
  }
}

const format = (record: VmRecord): string => `${JSON.stringify(record, null, 1)}\n`;
