/** The runs of all hosts: as their runners tell, and as they were last seen where a host is not connected. */
import { join } from 'node:path';
import type { RunSummary } from '@protocol/runner';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import type { Runner, Runners } from '../runner/runner';
import { EventMirror } from './eventMirror';
import { RememberedRuns } from './rememberedRuns';
import { type FollowedRun, type HostRun, type RunRef, type Runs, runKey } from './runs';
import { SharedRun } from './sharedRun';

export interface RunStoreOptions {
  /** With a way to keep a host's runner open. */
  runners: Runners & { keepAlive(hostId: string): Disposable };
  /** Folder on this machine for what is remembered. */
  storage: string;
  log(text: string): void;
}

/** At most four changes a second are told. */
const CHANGE_MS = 250;

export const isAlive = ({ state }: RunSummary): boolean => state === 'running' || state === 'queued';

export class RunStore implements Runs, Disposable {
  readonly #changed = new Emitter<void>();
  /** Newest first. */
  readonly #hosts = new Map<string, HostRun[]>();
  readonly #followed = new Map<string, SharedRun>();
  /** Runs at work: their events are kept, so that they can be looked at when the host is gone. */
  readonly #kept = new Map<string, FollowedRun>();
  /** What somebody looked at in this window, or was at work when the last one closed. */
  readonly #ours = new Set<string>();
  /** Hosts. */
  readonly #ending = new Set<string>();
  readonly #subscriptions: Disposable[] = [];
  readonly #mirror: EventMirror;
  readonly #remembered: RememberedRuns;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: RunStoreOptions) {
    const { runners, storage, log } = options;
    this.#mirror = new EventMirror(join(storage, 'events'));
    this.#remembered = new RememberedRuns(join(storage, 'runs'), log);
    this.#subscriptions.push(
      runners.onDidOpen((runner) => this.#opened(runner)),
      runners.onDidClose(() => this.#tell()),
    );
  }

  /** What was remembered when VS Code last ran. */
  async load(): Promise<void> {
    for (const { host, runs } of await this.#remembered.load()) {
      if (this.#hosts.has(host)) continue;
      this.#hosts.set(
        host,
        runs.map((run) => ({ ...run, host })),
      );
      for (const run of runs) if (isAlive(run)) this.#ours.add(runKey({ host, run: run.id }));
    }
    // At once: what is told next is measured against it.
    this.#changed.fire();
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  list(host?: string): readonly HostRun[] {
    if (host !== undefined) return this.#hosts.get(host) ?? [];
    return [...this.#hosts.values()]
      .flat()
      .sort((a, b) => (a.started < b.started ? 1 : a.started > b.started ? -1 : 0));
  }

  get({ host, run }: RunRef): HostRun | undefined {
    return this.#hosts.get(host)?.find(({ id }) => id === run);
  }

  /** Hosts that had a run at work when last seen. */
  hostsAtWork(): string[] {
    return [...this.#hosts].filter(([, runs]) => runs.some(isAlive)).map(([host]) => host);
  }

  follow(ref: RunRef): FollowedRun {
    this.#ours.add(runKey(ref));
    return this.#share(ref).join();
  }

  /** Whether this window is the one to say that a run has ended: only of runs it has to do with, and only one window. */
  async claimEnd(run: HostRun): Promise<boolean> {
    const key = runKey({ host: run.host, run: run.id });
    if (!this.#ours.has(key) || !(await this.#remembered.claim(`${key} ${run.updated}`))) return false;
    return !this.#ending.has(run.host);
  }

  /** What runs on the host ends because a person wants to be rid of the host: nobody needs to be told, or asked to resume. */
  async endingAll<T>(host: string, task: () => Promise<T>): Promise<T> {
    this.#ending.add(host);
    return task().finally(() => this.#ending.delete(host));
  }

  /** The run is gone for good: so is what is kept of it here. */
  forget(ref: RunRef): void {
    const runs = this.#hosts.get(ref.host);
    if (runs) this.#set(ref.host, [...runs.filter(({ id }) => id !== ref.run)]);
  }

  /** The host is not listed any more. */
  forgetHost(host: string): void {
    this.#set(host, []);
    this.#hosts.delete(host);
    this.#remembered.forget(host);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    for (const each of this.#subscriptions) each.dispose();
    for (const shared of this.#followed.values()) shared.close();
    this.#remembered.dispose();
    this.#changed.dispose();
  }

  /** Resolves when all is on disk. */
  async settled(): Promise<void> {
    await this.#remembered.settled();
    await this.#mirror.settled();
  }

  #share(ref: RunRef): SharedRun {
    const key = runKey(ref);
    const known = this.#followed.get(key);
    if (known) return known;
    const { runners, log } = this.options;
    const onClose = () => this.#followed.delete(key);
    const shared = new SharedRun(ref, { mirror: this.#mirror, runners, log, onClose });
    this.#followed.set(key, shared);
    return shared;
  }

  #opened(runner: Runner): void {
    const host = runner.host.id;
    const { log } = this.options;
    const update = (runs: readonly RunSummary[]) => {
      // A list that was on its way when the next runner was there already.
      if (this.options.runners.current(host) === runner) this.#set(host, runs);
    };
    runner.peer.on('runs/changed', ({ runs }) => update(runs));
    runner.peer.on('run/events', ({ run, events }) => this.#followed.get(runKey({ host, run }))?.take(events));
    for (const shared of this.#followed.values()) if (shared.ref.host === host) void shared.ask();
    runner.peer.request('runs/list', {}).then(update, (error: unknown) => log(`${host}: ${error}`));
  }

  #set(host: string, runs: readonly RunSummary[]): void {
    const now = runs.map((run) => ({ ...run, host }));
    const ids = new Set(now.map(({ id }) => id));
    for (const { id } of this.#hosts.get(host) ?? []) {
      if (!ids.has(id)) this.#drop({ host, run: id });
    }
    this.#hosts.set(host, now);
    this.#remembered.save(host, runs);
    for (const run of now) this.#keep(run);
    this.#tell();
  }

  #drop(ref: RunRef): void {
    const key = runKey(ref);
    this.#kept.get(key)?.dispose();
    this.#kept.delete(key);
    this.#mirror.remove(ref);
  }

  #keep(run: HostRun): void {
    const ref = { host: run.host, run: run.id };
    const key = runKey(ref);
    const kept = this.#kept.get(key);
    if (isAlive(run)) {
      if (kept) return;
      const joined = this.#share(ref).join();
      this.#kept.set(key, joined);
      // Its last events may come after it was said that it has ended.
      joined.onDidChange(() => {
        const now = this.get(ref);
        if (now) this.#keep(now);
      });
    } else if (kept && (kept.end || run.state === 'crashed')) {
      kept.dispose();
      this.#kept.delete(key);
    }
  }

  #tell(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#changed.fire();
    }, CHANGE_MS);
  }
}
