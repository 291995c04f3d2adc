/** The runs of all hosts: as their runners tell, and as they were last seen where a host is not connected. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import { type Disposable, Emitter, type Event } from 'vscode-jsonrpc';
import type { Runner, Runners } from '../runner/runner';
import { EventMirror } from './eventMirror';
import { RunHistory } from './history';
import { type FollowedRun, type HostRun, type RunRef, type Runs, runKey } from './runs';

export interface RunStoreOptions {
  /** With a way to keep a host's runner open. */
  runners: Runners & { keepAlive(hostId: string): Disposable };
  /** Folder on this machine for what is remembered. */
  storage: string;
  log(text: string): void;
}

/** At most four changes a second are told. */
const CHANGE_MS = 250;
const isAlive = ({ state }: RunSummary): boolean => state === 'running' || state === 'queued';

export class RunStore implements Runs, Disposable {
  readonly #changed = new Emitter<void>();
  readonly #hosts = new Map<string, HostRun[]>();
  readonly #followed = new Map<string, SharedRun>();
  readonly #subscriptions: Disposable[] = [];
  readonly #mirror: EventMirror;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(private readonly options: RunStoreOptions) {
    const { runners, storage } = options;
    this.#mirror = new EventMirror(join(storage, 'events'));
    this.#subscriptions.push(
      runners.onDidOpen((runner) => this.#opened(runner)),
      runners.onDidClose(() => this.#tell()),
    );
  }

  /** What was remembered when VS Code last ran. */
  async load(): Promise<void> {
    try {
      const remembered: Record<string, RunSummary[]> = JSON.parse(await readFile(this.#file, 'utf8'));
      for (const [host, runs] of Object.entries(remembered)) {
        if (!this.#hosts.has(host))
          this.#hosts.set(
            host,
            runs.map((run) => ({ ...run, host })),
          );
      }
      this.#tell();
    } catch {
      // Nothing is remembered yet.
    }
  }

  get onDidChange(): Event<void> {
    return this.#changed.event;
  }

  list(host?: string): readonly HostRun[] {
    if (host !== undefined) return this.#hosts.get(host) ?? [];
    return [...this.#hosts.values()].flat().sort((a, b) => (a.started < b.started ? 1 : -1));
  }

  get({ host, run }: RunRef): HostRun | undefined {
    return this.#hosts.get(host)?.find(({ id }) => id === run);
  }

  /** Hosts that had a run at work when last seen. */
  hostsAtWork(): string[] {
    return [...this.#hosts].filter(([, runs]) => runs.some(isAlive)).map(([host]) => host);
  }

  follow(ref: RunRef): FollowedRun {
    const key = runKey(ref);
    const shared = this.#followed.get(key) ?? this.#share(ref);
    return shared.join();
  }

  /** The run is gone for good: so is what is kept of it here. */
  forget(ref: RunRef): void {
    const runs = this.#hosts.get(ref.host);
    if (runs)
      this.#hosts.set(
        ref.host,
        runs.filter(({ id }) => id !== ref.run),
      );
    this.#mirror.remove(ref);
    this.#tell();
    this.#save();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    for (const each of this.#subscriptions) each.dispose();
    for (const shared of this.#followed.values()) shared.close();
    this.#changed.dispose();
  }

  /** Resolves when all is on disk. */
  async settled(): Promise<void> {
    await this.#saving;
    await this.#mirror.settled();
  }

  #share(ref: RunRef): SharedRun {
    const { runners, log } = this.options;
    const key = runKey(ref);
    const shared = new SharedRun(ref, this.#mirror, runners, log, () => this.#followed.delete(key));
    this.#followed.set(key, shared);
    return shared;
  }

  #opened(runner: Runner): void {
    const host = runner.host.id;
    const update = (runs: RunSummary[]) => {
      this.#hosts.set(
        host,
        runs.map((run) => ({ ...run, host })),
      );
      this.#tell();
      this.#save();
    };
    runner.peer.on('runs/changed', ({ runs }) => update(runs));
    runner.peer.on('run/events', ({ run, events }) => this.#followed.get(runKey({ host, run }))?.take(events));
    for (const shared of this.#followed.values()) if (shared.ref.host === host) shared.ask();
    runner.peer.request('runs/list', {}).then(update, (error: unknown) => this.options.log(`${host}: ${error}`));
  }

  #tell(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#changed.fire();
    }, CHANGE_MS);
  }

  get #file(): string {
    return join(this.options.storage, 'runs.json');
  }

  #save(): void {
    const text = JSON.stringify(Object.fromEntries(this.#hosts));
    this.#saving = this.#saving
      .then(async () => {
        await mkdir(this.options.storage, { recursive: true });
        const temporary = `${this.#file}.${process.pid}`;
        await writeFile(temporary, text);
        await rename(temporary, this.#file);
      })
      .catch((error: unknown) => this.options.log(`What runs there are cannot be remembered: ${error}`));
  }
}

/** One run that somebody follows; several may. */
class SharedRun {
  readonly #history = new RunHistory();
  readonly #changed = new Emitter<{ rewritten?: number }>();
  readonly #loaded: Promise<void>;
  readonly #hold: Disposable;
  /** Asked for from which event on; another answer is on its way. */
  #asked = false;
  #followers = 0;
  #rewritten: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    readonly ref: RunRef,
    private readonly mirror: EventMirror,
    private readonly runners: RunStoreOptions['runners'],
    private readonly log: (text: string) => void,
    private readonly onClose: () => void,
  ) {
    this.#hold = runners.keepAlive(ref.host);
    this.#loaded = this.#load();
  }

  join(): FollowedRun {
    this.#followers++;
    let isOpen = true;
    const history = this.#history;
    return {
      ref: this.ref,
      get log() {
        return history.log;
      },
      get evals() {
        return history.evals;
      },
      get checkpoints() {
        return history.checkpoints;
      },
      get warnings() {
        return history.warnings;
      },
      get generations() {
        return history.generations;
      },
      get start() {
        return history.start;
      },
      get end() {
        return history.end;
      },
      get lastSeq() {
        return history.lastSeq;
      },
      onDidChange: this.#changed.event,
      dispose: () => {
        if (!isOpen) return;
        isOpen = false;
        if (--this.#followers === 0) this.close();
      },
    };
  }

  /** Asks the runner, where one is open, for all that is missing. */
  async ask(): Promise<void> {
    this.#asked = true;
    await this.#loaded;
    const runner = this.runners.current(this.ref.host);
    if (!runner || this.#closed) return;
    try {
      await runner.peer.request('runs/follow', { run: this.ref.run, after: this.#history.lastSeq });
    } catch (error) {
      this.log(`${runKey(this.ref)}: ${error instanceof Error ? error.message : error}`);
    }
  }

  take(events: readonly RunEvent[]): void {
    const fresh: RunEvent[] = [];
    for (const event of events) {
      const isNew = event.seq > this.#history.lastSeq;
      const taken = this.#history.add(event);
      if (taken === 'gap') {
        void this.ask();
        break;
      }
      if (isNew) fresh.push(event);
      if (taken.rewritten !== undefined) this.#rewritten = Math.min(this.#rewritten ?? Infinity, taken.rewritten);
    }
    if (fresh.length === 0) return;
    this.mirror.append(this.ref, fresh);
    this.#tell();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#hold.dispose();
    this.#changed.dispose();
    this.onClose();
    const { run } = this.ref;
    this.runners
      .current(this.ref.host)
      ?.peer.request('runs/unfollow', { run })
      .catch(() => undefined);
  }

  async #load(): Promise<void> {
    for (const event of await this.mirror.read(this.ref)) this.#history.add(event);
    if (this.#history.lastSeq > 0) this.#tell();
    if (!this.#asked) queueMicrotask(() => this.ask());
  }

  #tell(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const rewritten = this.#rewritten;
      this.#rewritten = undefined;
      this.#changed.fire(rewritten === undefined ? {} : { rewritten });
    }, CHANGE_MS);
  }
}
