/**
 * `tuneyard watchdog`: looks after the VM it runs on, and ends it when it was asked to: idle, after the last run, or at its
 * time. Independent of whoever made the VM. It never acts on doubt; the cloud's own time limit stands behind it.
 */

import { join, relative } from 'node:path';
import { setTimeout as sleepReally } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import {
  DELETE_AT_ITEM,
  WATCHDOG_EXIT,
  WATCHDOG_FOLDER,
  WATCHDOG_ITEM,
  WATCHDOG_STATUS_FILE,
  type WatchdogReport,
  type WatchdogState,
} from '@protocol/watchdog';
import { resumeRun } from '../serve/runControl';
import { bringRuns } from './bringRuns';
import { Bucket } from './bucket';
import { type Decision, decide } from './decide';
import { GoogleApi } from './googleApi';
import { gpuIsReady, gpuUse } from './gpuUse';
import { interruptRuns } from './interruptRuns';
import { isLive, RunsWatch, type WatchedRun } from './lookAtRuns';
import { lookAtSessions } from './lookAtSessions';
import { makeSafe } from './makeSafe';
import type { Instance, MetadataServer, Watched } from './metadataServer';
import { OwnInstance } from './ownInstance';
import { type Orders, readOrders } from './readSettings';
import { Safekeeping } from './safekeeping';
import { type Memory, readMemory, writeMemory } from './statusFile';
import { systemStops } from './systemStops';

export interface WatchdogOptions {
  /** `~/.tuneyard`. */
  home: string;
  metadata: MetadataServer;
  version: string;
  /** Milliseconds since 1970; every time limit is by this clock. */
  now(): number;
  /** By the same clock. Returns early when the signal is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  log(text: string): void;
  /** Changes with each boot; where it is not given, it is as if nothing was interrupted. */
  boot?: string;
  /** See {@link lookAtSessions}. */
  sessionsHome?: string;
  /** Asks it to end: the machine shuts down, or the watchdog is replaced. */
  signal: AbortSignal;
}

const LOOK_MS = 30_000;
/** Said an hour before, where the VM has GPUs. */
const ENDS_FOR_MAINTENANCE = 'TERMINATE_ON_HOST_MAINTENANCE';
/** After this long a failure to make results safe counts as lasting: the VM is then stopped, and keeps its disk. */
const SAVE_PATIENCE_MS = 30 * 60_000;
/** Of the 30 seconds that a preempted VM has, real ones; the rest is for copying. */
const STOP_RUNS_MS = 18_000;
const PREEMPTED_MS = 28_000;
/** Before its own time is up there is more of it: a large model's step is long. */
const LAST_STEP_MS = 100_000;
const BRING_ATTEMPTS = 20;
/** Before the metadata server is asked again where it does not answer, real ones. */
const DEAF_MS = 2000;

/** @returns the exit status: {@link WATCHDOG_EXIT} */
export async function watchdog(options: WatchdogOptions): Promise<number> {
  const dog = new Watchdog(options);
  try {
    return await dog.watch();
  } finally {
    dog.dispose();
  }
}

class Watchdog {
  readonly #runs: RunsWatch;
  readonly #file: string;
  readonly #api: GoogleApi;
  readonly #ending = new AbortController();
  /** Aborted when there are only seconds left. */
  readonly #urgent = new AbortController();
  /** Aborted, and made anew, when something is heard that a look should not wait for. */
  #wake = new AbortController();
  #memory: Memory = { live: [], had_runs: false };
  #written = '';
  #told: Partial<Record<keyof WatchdogReport, string>> = {};
  #instance!: Instance;
  #own!: OwnInstance;
  #orders: Orders | undefined;
  #safekeeping: { key: string; keeper: Safekeeping } | undefined;
  #copying: Promise<void> | undefined;
  #isPreempted = false;
  #wasInterrupted = false;
  #idleSince: number;
  #savingSince: number | undefined;
  #deleteFailures = 0;
  #bringFailures = 0;
  /** Runs whose results are nowhere else, as last found. */
  #unsafe = 0;

  constructor(private readonly options: WatchdogOptions) {
    const { home, metadata, now } = options;
    this.#runs = new RunsWatch(home);
    this.#file = join(home, WATCHDOG_FOLDER, WATCHDOG_STATUS_FILE);
    this.#api = new GoogleApi(metadata);
    this.#idleSince = now();
    const hurry = () => {
      this.#urgent.abort();
      this.#stir();
    };
    options.signal.addEventListener('abort', hurry, { once: true });
  }

  dispose(): void {
    this.#urgent.abort();
    this.#ending.abort();
  }

  async watch(): Promise<number> {
    const { signal, log } = this.options;
    this.#memory = await readMemory(this.#file);
    this.#heed(this.#memory.attributes ?? {});
    if (!(await this.#begin())) return WATCHDOG_EXIT.settled;
    const { metadata } = this.options;
    void this.#follow(
      (...from) => metadata.attributes(...from),
      (value) => this.#heed(value),
    );
    void this.#follow(
      (...from) => metadata.preempted(...from),
      (value) => {
        if (!value || this.#isPreempted) return;
        log('the cloud takes this VM away');
        this.#isPreempted = true;
        this.#urgent.abort();
        this.#stir();
      },
    );
    await this.#goOn();
    for (;;) {
      if (this.#isPreempted) await this.#interrupted('preempted', 'the cloud takes the VM away');
      if (signal.aborted) return this.#signalled();
      const status = await this.#look().catch((error: unknown) => {
        // A watchdog that dies of one bad look watches nothing.
        log(`a look failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      });
      if (status !== undefined) return status;
      await this.#rest(LOOK_MS);
    }
  }

  /** Which VM this is, however long the network takes to come. False where it was told to end meanwhile. */
  async #begin(): Promise<boolean> {
    const { metadata, log, signal } = this.options;
    for (let told = ''; !signal.aborted; await this.#rest(LOOK_MS)) {
      try {
        this.#instance = await metadata.instance(signal);
        this.#own = new OwnInstance(this.#api, this.#instance);
        this.#heed((await metadata.attributes(undefined, signal)).value);
        return true;
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (text !== told) log(text);
        told = text;
      }
    }
    return false;
  }

  /** Hears of changes at once; where it cannot hear, what it last heard holds. */
  async #follow<T>(
    ask: (etag: string | undefined, signal: AbortSignal) => Promise<Watched<T>>,
    heard: (value: T) => void,
  ): Promise<void> {
    const { signal } = this.#ending;
    let etag: string | undefined;
    while (!signal.aborted) {
      try {
        const watched = await ask(etag, signal);
        etag = watched.etag;
        heard(watched.value);
      } catch {
        etag = undefined;
        await sleepReally(DEAF_MS, undefined, { signal }).catch(() => {});
      }
    }
  }

  #heed(attributes: Record<string, string>): void {
    const before = JSON.stringify(this.#orders);
    const orders = readOrders(attributes);
    if (!orders) return;
    this.#orders = orders;
    // Nothing else of them, such as keys, is ours to keep.
    this.#memory.attributes = Object.fromEntries(
      Object.entries(attributes).filter(([key]) => key === WATCHDOG_ITEM || key === DELETE_AT_ITEM),
    );
    if (JSON.stringify(orders) !== before) this.#stir();
  }

  /** Runs that a reboot, a preemption or the end of another VM broke off. */
  async #goOn(): Promise<void> {
    const { boot, log, signal } = this.options;
    const memory = this.#memory;
    const isNewBoot = boot !== undefined && (memory.boot !== boot || memory.instance !== this.#instance.id);
    if (!isNewBoot) return;
    const broken = new Set(memory.broken_off);
    // A machine that failed told nobody before.
    const live = new Set(memory.live);
    const due = (await this.#runs.look()).runs.filter(
      ({ dir, state }) =>
        (broken.has(this.#placeOf(dir)) && (state === 'stopped' || state === 'crashed')) ||
        (live.has(this.#placeOf(dir)) && state === 'crashed'),
    );
    if (due.length > 0) {
      log(`${due.length} run(s) were broken off when the VM ended`);
      await gpuIsReady(signal);
    }
    for (const { dir, id } of due) await this.#resume(dir, id);
    const { broken_off: _, ...rest } = memory;
    this.#memory = { ...rest, boot, instance: this.#instance.id };
  }

  /** The disk may be another VM's by the time it is read, under another home. */
  #placeOf(dir: string): string {
    return relative(this.options.home, dir);
  }

  async #resume(dir: string, id: string): Promise<void> {
    const { log, signal } = this.options;
    await resumeRun(dir, [], signal).then(
      () => log(`${id} goes on`),
      (error: unknown) => log(`${id} does not go on: ${error instanceof Error ? error.message : error}`),
    );
  }

  /** @returns an exit status where this process is to end */
  async #look(): Promise<number | undefined> {
    const { now, sessionsHome } = this.options;
    await this.#bring();
    const [{ runs, doubt }, gpu, session, maintenance] = await Promise.all([
      this.#runs.look(),
      gpuUse(),
      lookAtSessions(sessionsHome).catch((error: unknown) => `what is done over SSH cannot be told (${error})`),
      this.options.metadata.maintenanceEvent().catch(() => 'NONE'),
    ]);
    const live = runs.filter(isLive);
    this.#memory.live = live.map(({ dir }) => this.#placeOf(dir));
    this.#memory.had_runs ||= live.length > 0 || runs.some((run) => run.step > 0);
    const busy =
      doubt ??
      (live.length > 0 ? `${live.length} run(s) are running or queued` : undefined) ??
      (this.#isBringing() ? 'runs are brought here' : undefined) ??
      gpu ??
      (session === undefined ? undefined : `somebody runs ${session} over SSH`);
    if (busy !== undefined) this.#idleSince = now();
    this.#copy(runs, maintenance === ENDS_FOR_MAINTENANCE);

    const orders = this.#orders;
    const decision: Decision = orders
      ? decide(
          {
            now: now(),
            live: live.length,
            busy,
            idleSince: this.#idleSince,
            hadRuns: this.#memory.had_runs,
            deleteAt: orders.deleteAt,
          },
          orders.settings,
        )
      : { kind: 'stay' };
    const count = doubt === undefined ? live.length : -1;
    if (decision.kind === 'end') return this.#end(decision, count);
    this.#savingSince = undefined;
    await this.#report(busy === undefined ? 'idle' : 'busy', busy ?? 'nothing runs', count);
    return undefined;
  }

  async #end({ why, action }: Extract<Decision, { kind: 'end' }>, count: number): Promise<number | undefined> {
    const { now, log } = this.options;
    const { settings, deleteAt } = this.#orders!;
    const because = {
      idle: `it was idle for ${settings.idle_minutes} min`,
      'last run': 'its last run has ended',
      deadline: 'its time is up',
    }[why];
    if (this.#savingSince === undefined) log(`the VM ends: ${because}`);
    this.#savingSince ??= now();
    await this.#report('saving', because, count);
    if (why === 'deadline') await interruptRuns(this.#runs, LAST_STEP_MS, log);
    await this.#copying;
    const { runs, doubt } = await this.#runs.look();
    if (why !== 'deadline' && (doubt !== undefined || runs.some(isLive))) return undefined;
    const safety = await makeSafe({
      artifacts: settings.artifacts,
      runs,
      safekeeping: this.#keeper(),
      own: this.#own,
      vm: settings.vm,
      labels: settings.labels,
      signal: this.#urgent.signal,
    });
    this.#unsafe = safety.kind === 'safe' ? 0 : safety.unsafe;
    // It took its time: somebody may have begun something.
    if (why !== 'deadline' && (await this.#runs.look()).runs.some(isLive)) return undefined;
    const isUp = deleteAt !== undefined && now() >= deleteAt;
    if (safety.kind === 'safe') return action === 'stop' ? this.#powerOff(because) : this.#delete(because);
    // Without its GPUs it costs next to nothing, and loses nothing.
    if (safety.kind === 'held') return this.#powerOff(`${because}; ${safety.reason}`);
    log(safety.reason);
    if (safety.isLasting || isUp || now() - this.#savingSince >= SAVE_PATIENCE_MS)
      return this.#powerOff(`${because}; ${safety.reason}`);
    await this.#report('held', safety.reason, count);
    return undefined;
  }

  /** The disk stays, and all that is on it; the GPUs cost nothing any more. */
  async #powerOff(reason: string): Promise<number> {
    this.options.log(`switching off: ${reason}`);
    await this.#report('stopping', reason, 0);
    return WATCHDOG_EXIT.powerOff;
  }

  async #delete(reason: string): Promise<number | undefined> {
    const { log, signal, sleep } = this.options;
    await this.#report('deleting', reason, 0);
    try {
      await this.#own.delete(this.#urgent.signal);
      log(`deleted: ${reason}`);
      await sleep(2 * LOOK_MS, signal);
      return WATCHDOG_EXIT.settled;
    } catch (error) {
      // It ends: that is what was asked for.
      if (this.#urgent.signal.aborted) return undefined;
      const text = error instanceof Error ? error.message : String(error);
      log(`the VM cannot delete itself: ${text}`);
      const isLasting = error instanceof TuneyardError && error.code === 'cloud_permission';
      if (!isLasting && ++this.#deleteFailures < 5) return undefined;
      return this.#powerOff(`${reason}; it cannot delete itself: ${text}`);
    }
  }

  /** All that can be done in the seconds that are left; then it is waited for the end. */
  async #interrupted(state: WatchdogState, reason: string): Promise<void> {
    const { log } = this.options;
    const limit = AbortSignal.timeout(PREEMPTED_MS);
    const before = new Set(this.#memory.live);
    for (const { dir } of (await this.#runs.look()).runs.filter(isLive)) before.add(this.#placeOf(dir));
    this.#memory.broken_off = [...new Set([...before, ...(this.#memory.broken_off ?? [])])];
    this.#wasInterrupted = true;
    await this.#write();
    const told = this.#report(state, reason, before.size).catch(() => {});
    const runs = await interruptRuns(this.#runs, STOP_RUNS_MS, log);
    const keeper = this.#keeper();
    // What was on its way is of an older checkpoint, and was given up.
    await this.#copying;
    for (const run of keeper ? runs : []) {
      await keeper!.keep(run, limit).then(
        () => log(`${run.id} is kept in the bucket at step ${run.step}`),
        (error: unknown) => log(`${run.id}: ${error instanceof Error ? error.message : error}`),
      );
    }
    await told;
    const { signal, sleep } = this.options;
    while (!signal.aborted) await sleep(LOOK_MS, signal);
  }

  async #signalled(): Promise<number> {
    const { metadata } = this.options;
    const isEnd =
      this.#isPreempted ||
      (await metadata.preempted().then(
        ({ value }) => value,
        () => false,
      )) ||
      (await systemStops());
    if (isEnd && !this.#wasInterrupted) await this.#interrupted('stopping', 'the VM is shut down');
    return WATCHDOG_EXIT.settled;
  }

  /**
   * Ended runs are copied as soon as they have ended; on a VM that may be taken away, live ones whenever they have a new
   * checkpoint. One copy at a time, beside the looks.
   */
  #copy(runs: readonly WatchedRun[], endsSoon: boolean): void {
    const keeper = this.#keeper();
    if (!keeper || this.#copying) return;
    const due = runs.filter((run) => run.has_results && (!isLive(run) || endsSoon || this.#orders?.settings.spot));
    if (due.length === 0) return;
    const { signal } = this.#urgent;
    const copy = async () => {
      for (const run of due) await keeper.keep(run, signal);
    };
    this.#copying = copy()
      .catch((error: unknown) => {
        if (!signal.aborted) this.options.log(`copying: ${error instanceof Error ? error.message : error}`);
      })
      .finally(() => {
        this.#copying = undefined;
      });
  }

  #keeper(): Safekeeping | undefined {
    const settings = this.#orders?.settings;
    if (settings?.artifacts.kind !== 'bucket') return undefined;
    const { bucket } = settings.artifacts;
    const key = `${bucket}/${settings.vm}`;
    if (this.#safekeeping?.key !== key) {
      const memory = join(this.options.home, WATCHDOG_FOLDER, `sent-${bucket}-${settings.vm}.json`);
      const keeper = new Safekeeping(new Bucket(this.#api, bucket), settings.vm, this.options.home, memory);
      this.#safekeeping = { key, keeper };
    }
    return this.#safekeeping.keeper;
  }

  #isBringing(): boolean {
    return this.#orders?.settings.resume !== undefined && !this.#memory.brought && this.#bringFailures < BRING_ATTEMPTS;
  }

  /** What another VM left goes on here. */
  async #bring(): Promise<void> {
    const resume = this.#orders?.settings.resume;
    if (!resume || !this.#isBringing()) return;
    const { home, log, signal } = this.options;
    try {
      await this.#report('busy', `runs are brought here from gs://${resume.bucket}/${resume.vm}`, 0);
      const names = await bringRuns(new Bucket(this.#api, resume.bucket), resume.vm, {
        home,
        folder: join(home, WATCHDOG_FOLDER, 'bring'),
        signal,
      });
      log(`brought here: ${names.join(', ') || 'nothing'}`);
      await gpuIsReady(signal);
      for (const { dir, id, state } of (await this.#runs.look()).runs) {
        const isOver = state === 'completed' || state === 'failed' || state === 'running' || state === 'queued';
        if (!isOver && names.some((name) => dir.endsWith(`/${name}`))) await this.#resume(dir, id);
      }
      this.#memory.brought = true;
      await this.#write();
    } catch (error) {
      this.#bringFailures++;
      log(`runs cannot be brought here: ${error instanceof Error ? error.message : error}`);
    }
  }

  async #report(state: WatchdogState, reason: string, runs: number): Promise<void> {
    const { now, version, metadata } = this.options;
    const idle_seconds = state === 'busy' || state === 'waiting' ? 0 : Math.floor((now() - this.#idleSince) / 1000);
    const time = new Date(now()).toISOString();
    const report: WatchdogReport = { state, idle_seconds, runs, unsafe: this.#unsafe, version, reason, time };
    this.#memory.report = report;
    await this.#write();
    for (const [key, value] of Object.entries(report) as [keyof WatchdogReport, string | number][]) {
      if (this.#told[key] === String(value)) continue;
      // Who cannot be told reads it later, or over SSH.
      await metadata.setGuestAttribute(key, String(value)).then(
        () => {
          this.#told[key] = String(value);
        },
        () => {},
      );
    }
  }

  async #write(): Promise<void> {
    const text = JSON.stringify(this.#memory);
    if (text === this.#written) return;
    await writeMemory(this.#file, this.#memory);
    this.#written = text;
  }

  #stir(): void {
    this.#wake.abort();
  }

  /** Not at all where something was heard meanwhile. */
  async #rest(ms: number): Promise<void> {
    const { sleep, signal } = this.options;
    if (!signal.aborted && !this.#wake.signal.aborted) await sleep(ms, this.#wake.signal);
    if (!signal.aborted && this.#wake.signal.aborted) this.#wake = new AbortController();
  }
}
