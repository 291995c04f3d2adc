/** One runner a host, shared by all that need it; opened again by itself as long as somebody follows a run there. */
import { randomBytes } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import pRetry, { AbortError } from 'p-retry';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import { fileError } from '../hosts/fileError';
import type { Hosts } from '../hosts/hosts';
import { cancelled, within } from '../hosts/limits';
import { type Bundle, readBundle } from './bundle';
import { installRunner } from './install';
import type { InstallSettings, OnProgress } from './installContext';
import type { Runner, Runners } from './runner';
import { type LiveRunner, startServe } from './serveProcess';

export interface RunnerClientsOptions {
  hosts: Hosts;
  /** The runner's folder in the extension. */
  runnerFolder: string;
  /** Folder on this machine for downloads that are sent on. */
  cache: string;
  settings(): InstallSettings;
  log(text: string): void;
}

interface Opening {
  work: Promise<LiveRunner>;
  abort: AbortController;
  /** Those who wait; the last one to cancel ends it. */
  waiting: number;
  listeners: Set<OnProgress>;
  last: Parameters<OnProgress> | undefined;
}

/** Failures that the next attempt would meet again. */
const LASTING = [
  'cancelled',
  'usage',
  'auth_failed',
  'host_key_unknown',
  'host_key_changed',
  'host_key_revoked',
  'ssh_config_invalid',
  'platform_unsupported',
  'disk_full',
  'not_writable',
  'install_failed',
];
/** Three minutes: a laptop that wakes, a router that restarts. */
const REOPEN = { retries: 8, minTimeout: 1000, factor: 2, maxTimeout: 60_000 };

export class RunnerClients implements Runners {
  readonly #opened = new Emitter<Runner>();
  readonly #closed = new Emitter<{ hostId: string }>();
  readonly #live = new Map<string, LiveRunner>();
  readonly #opening = new Map<string, Opening>();
  readonly #kept = new Map<string, number>();
  /** Ended on purpose: not opened again by itself. */
  readonly #ended = new Set<string>();
  readonly #disposing = new AbortController();
  readonly #owner = randomBytes(6).toString('hex');
  #bundle: Promise<Bundle> | undefined;

  constructor(private readonly options: RunnerClientsOptions) {}

  get onDidOpen(): Event<Runner> {
    return this.#opened.event;
  }

  get onDidClose(): Event<{ hostId: string }> {
    return this.#closed.event;
  }

  current(hostId: string): Runner | undefined {
    return this.#live.get(hostId);
  }

  /** While it is held, a runner that is lost is opened again, a bounded number of times. */
  keepAlive(hostId: string): Disposable {
    this.#kept.set(hostId, (this.#kept.get(hostId) ?? 0) + 1);
    let isHeld = true;
    return {
      dispose: () => {
        if (isHeld) this.#kept.set(hostId, this.#kept.get(hostId)! - 1);
        isHeld = false;
      },
    };
  }

  async open(
    hostId: string,
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress } = {},
  ): Promise<Runner> {
    this.#ended.delete(hostId);
    const live = this.#live.get(hostId);
    if (live) return live;
    const opening = this.#opening.get(hostId) ?? this.#begin(hostId);
    opening.waiting++;
    if (onProgress) {
      opening.listeners.add(onProgress);
      if (opening.last) onProgress(...opening.last);
    }
    try {
      return await within(opening.work, { signals: [signal] });
    } finally {
      opening.waiting--;
      if (onProgress) opening.listeners.delete(onProgress);
      if (opening.waiting === 0) this.#giveUp(hostId, opening);
    }
  }

  /** Ends it and its host's connection, on purpose: whoever follows runs there waits until somebody opens it. */
  async close(hostId: string): Promise<void> {
    this.#ended.add(hostId);
    this.#opening.get(hostId)?.abort.abort();
    this.#live.get(hostId)?.dispose();
    await this.options.hosts.get(hostId)?.disconnect();
  }

  dispose(): void {
    this.#disposing.abort();
    for (const { abort } of this.#opening.values()) abort.abort();
    for (const runner of this.#live.values()) runner.dispose();
    this.#opened.dispose();
    this.#closed.dispose();
  }

  #begin(hostId: string): Opening {
    const abort = new AbortController();
    const opening: Opening = { work: undefined!, abort, waiting: 0, listeners: new Set(), last: undefined };
    const onProgress: OnProgress = (...progress) => {
      opening.last = progress;
      for (const listener of opening.listeners) listener(...progress);
    };
    opening.work = this.#connect(hostId, abort.signal, onProgress).finally(() => this.#forget(hostId, opening));
    // Nobody may be left to hear of it.
    opening.work.catch(() => {});
    this.#opening.set(hostId, opening);
    return opening;
  }

  /** Who comes now begins anew; what is being ended is nothing to join. */
  #giveUp(hostId: string, opening: Opening): void {
    this.#forget(hostId, opening);
    opening.abort.abort();
  }

  #forget(hostId: string, opening: Opening): void {
    if (this.#opening.get(hostId) === opening) this.#opening.delete(hostId);
  }

  async #connect(hostId: string, signal: AbortSignal, onProgress: OnProgress): Promise<LiveRunner> {
    const { hosts, runnerFolder, cache, settings, log } = this.options;
    const host = hosts.get(hostId);
    if (!host) throw new TuneyardError('usage', l10n.t('There is no host "{0}" any more.', hostId));
    onProgress(l10n.t('Connecting'));
    await host.connect(signal);
    this.#bundle ??= readBundle(runnerFolder).catch((error: unknown) => {
      this.#bundle = undefined;
      throw fileError(error, runnerFolder);
    });
    const installed = await installRunner(host, await this.#bundle, {
      settings: settings(),
      runnerFolder,
      cache,
      owner: this.#owner,
      signal,
      onProgress,
      log,
    });
    onProgress(l10n.t('Starting'));
    const runner = await startServe(host, installed, { signal, log });
    if (signal.aborted) {
      runner.dispose();
      throw cancelled();
    }
    this.#live.set(hostId, runner);
    runner.closed.then(() => this.#lost(hostId, runner));
    this.#opened.fire(runner);
    return runner;
  }

  #lost(hostId: string, runner: LiveRunner): void {
    if (this.#live.get(hostId) !== runner) return;
    this.#live.delete(hostId);
    if (this.#disposing.signal.aborted) return;
    this.#closed.fire({ hostId });
    if ((this.#kept.get(hostId) ?? 0) > 0) void this.#reopen(hostId);
  }

  async #reopen(hostId: string): Promise<void> {
    const { log } = this.options;
    const attempt = async () => {
      if ((this.#kept.get(hostId) ?? 0) === 0) throw new AbortError('nobody follows a run there any more');
      if (this.#ended.has(hostId)) throw new AbortError('it was disconnected by hand');
      try {
        await this.open(hostId, { signal: this.#disposing.signal });
      } catch (error) {
        if (error instanceof TuneyardError && LASTING.includes(error.code)) throw new AbortError(error);
        throw error;
      }
    };
    try {
      await pRetry(attempt, { ...REOPEN, signal: this.#disposing.signal });
    } catch (error) {
      log(`Gave up connecting to ${hostId} again: ${error instanceof Error ? error.message : error}`);
    }
  }
}
