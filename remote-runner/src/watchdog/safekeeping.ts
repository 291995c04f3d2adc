/**
 * Runs copied to a bucket: `gs://BUCKET/VM/RUN/…`, and the data they train on, `gs://BUCKET/VM/.home/…`, which another VM
 * needs to go on with them. What is there already, as this machine remembers, is not sent again.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { replaceFile } from '../hub/durableFile';
import { EVENTS_FILE, INPUT_FILE, LOG_FILE, PROCESS_LOG_FILE, RECIPE_FILE, SOURCE_FILE } from '../runs/runDir';
import { MANIFEST_FILE } from '../train/manifestFile';
import type { Bucket } from './bucket';
import type { WatchedRun } from './lookAtRuns';

/** In the bucket, for what lies beside the runs. */
export const HOME_PREFIX = '.home';
/** In the bucket: which folder the paths in recipes begin with. */
export const ORIGIN = `${HOME_PREFIX}/origin.json`;

export interface Origin {
  home: string;
}

/** What a small file says is needed to understand the large ones. */
const SMALL = [RECIPE_FILE, INPUT_FILE, SOURCE_FILE, EVENTS_FILE, LOG_FILE, PROCESS_LOG_FILE];

interface Sent {
  bytes: number;
  modified: number;
  /** Where an upload that broke off goes on; whoever knows it may write that object: kept from others' eyes. */
  session?: string;
}

export class Safekeeping {
  #sent: Record<string, Sent> | undefined;

  /** @param memory file in which it is kept what was sent */
  constructor(
    private readonly bucket: Bucket,
    private readonly vm: string,
    private readonly home: string,
    private readonly memory: string,
  ) {}

  /** All that is worth keeping of a run. @throws TuneyardError `cloud_permission`, `transfer_failed`, `cancelled`, … */
  async keep(run: WatchedRun, signal?: AbortSignal): Promise<void> {
    const origin: Origin = { home: this.home };
    await this.bucket.put(`${this.vm}/${ORIGIN}`, JSON.stringify(origin), signal);
    for (const name of SMALL) await this.#sendWhere(join(run.dir, name), `${this.#prefix(run)}/${name}`, signal);
    for (const file of await this.#dataOf(run)) {
      await this.#sendWhere(file, `${this.vm}/${HOME_PREFIX}/${slashes(relative(this.home, file))}`, signal);
    }
    for (const folder of await worthKeeping(run)) await this.#sendFolder(run, folder, signal);
    // What was said while the large files were sent.
    await this.#sendWhere(join(run.dir, EVENTS_FILE), `${this.#prefix(run)}/${EVENTS_FILE}`, signal);
  }

  /** By its folder's name: the id of a run of which there are two of one name is a path. */
  #prefix(run: WatchedRun): string {
    return `${this.vm}/${basename(run.dir)}`;
  }

  /** The file that says that the others are whole comes last. */
  async #sendFolder(run: WatchedRun, folder: string, signal: AbortSignal | undefined): Promise<void> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const last = join(folder, MANIFEST_FILE);
    for (const file of [...files.filter((each) => each !== last), ...files.filter((each) => each === last)]) {
      await this.#sendWhere(file, `${this.#prefix(run)}/${slashes(relative(run.dir, file))}`, signal);
    }
  }

  /** Nothing where there is no such file, or no longer. */
  async #sendWhere(path: string, object: string, signal: AbortSignal | undefined): Promise<void> {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) return;
    const sent = await this.#memory();
    const now: Sent = { bytes: found.size, modified: found.mtimeMs };
    const before = sent[object];
    const isSame = before?.bytes === now.bytes && before.modified === now.modified;
    if (isSame && before.session === undefined) return;
    await this.bucket.upload(path, object, {
      bytes: found.size,
      ...(isSame && { session: before.session }),
      onSession: (session) => this.#remember(object, { ...now, session }),
      signal,
    });
    await this.#remember(object, now);
  }

  /** Data and models that were sent to this machine, as the recipe names them. */
  async #dataOf({ dir }: WatchedRun): Promise<string[]> {
    const text = await readFile(join(dir, RECIPE_FILE), 'utf8').catch(() => '{}');
    const folder = join(this.home, 'data') + sep;
    const named = strings(JSON.parse(text)).filter((value) => value.startsWith(folder));
    const files = await Promise.all(named.map((path) => filesAt(path)));
    return [...new Set(files.flat())];
  }

  async #memory(): Promise<Record<string, Sent>> {
    this.#sent ??= JSON.parse(await readFile(this.memory, 'utf8').catch(() => '{}')) as Record<string, Sent>;
    return this.#sent;
  }

  async #remember(object: string, sent: Sent): Promise<void> {
    const all = await this.#memory();
    all[object] = sent;
    await replaceFile(this.memory, [new TextEncoder().encode(JSON.stringify(all))]);
  }
}

/** The final model, and the checkpoints that somebody may want to go on from: the last and the best. */
async function worthKeeping({ dir, best_step, model_path }: WatchedRun): Promise<string[]> {
  const folder = join(dir, 'checkpoints');
  const steps = (await readdir(folder).catch(() => []))
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
  const kept = steps.filter((step, i) => i === 0 || step === best_step);
  const model = model_path === undefined ? [] : [model_path];
  // Newest first: where there is no time for more, it is what counts.
  return [...kept.map((step) => join(folder, `step-${step}`)), ...model.filter((path) => !path.startsWith(folder))];
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [];
}

async function filesAt(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile()) return [path];
  if (!found?.isDirectory()) return [];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

const slashes = (path: string): string => path.split(sep).join('/');
