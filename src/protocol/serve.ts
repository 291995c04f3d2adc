/**
 * What `tuneyard serve --stdio` speaks: JSON-RPC 2.0 over its standard input and output, for as long as the connection
 * lasts. Training does not hang on it: a run is a process of its own, and whoever comes back asks for its events from
 * the last `seq` it saw.
 */
import type { RunEvent } from './events';
import type { RunSummary } from './runner';

/**
 * The first line that `serve` writes is this, a space, and a {@link ServeHello} in JSON; the protocol begins behind its
 * newline. What comes before it is a login shell's chatter.
 */
export const SERVE_MARKER = 'tuneyard-serve';

/** Raised when an older peer would misunderstand. */
export const SERVE_PROTOCOL = 1;

export interface ServeHello {
  version: string;
  protocol: number;
  pid: number;
}

export interface Gpu {
  index: number;
  name: string;
  memory_bytes: number;
  used_bytes: number;
  /** 0 to 1. */
  utilization: number;
}

/** What a machine has and how busy it is. */
export interface HostStatus {
  hostname: string;
  /** As Node names them: `linux`, `x64`. */
  platform: string;
  arch: string;
  node: string;
  cpus: number;
  cpu_model: string;
  /** Mean over the last second, 0 to 1. */
  cpu_utilization: number;
  memory_bytes: number;
  free_memory_bytes: number;
  /** Where the runs lie. */
  disk_bytes: number;
  free_disk_bytes: number;
  gpus: Gpu[];
  /** NVIDIA's driver and the newest CUDA it serves, where there is one. */
  driver?: string;
  cuda?: string;
  /** What `device: auto` would take, and why. */
  device: string;
  device_reason: string;
}

/** How a run is begun. */
export interface StartRun {
  /** A recipe as a file holds it (comments removed); paths in it are the machine's own, absolute. */
  recipe: Record<string, unknown>;
  /** What the run is called, for its id: the recipe file's name without extensions. */
  name: string;
  /** Where the recipe came from, kept for whoever looks the run up later. */
  source?: RunSource;
}

/** The person's side of a run, kept in the run directory as `source.json`. */
export interface RunSource {
  /** URI or path of the recipe on the person's machine. */
  recipe_path?: string;
  /** The recipe's text as it was, comments and all. */
  recipe_text?: string;
  /** Remote path → path on the person's machine, for what was sent. */
  sent?: Record<string, string>;
}

/** In a folder of the machine; links are what they lead to. */
export interface FolderEntry {
  name: string;
  kind: 'file' | 'directory' | 'other';
  bytes: number;
}

/** Part of a run's directory. */
export interface RunFiles {
  bytes: number;
  checkpoints: { step: number; path: string; bytes: number; best: boolean }[];
  /** The final model's directory, where there is one. */
  model_path?: string;
}

/** A line that a command wrote with `--json`, or one of its plain messages (standard error). */
export interface JobLine {
  job: string;
  data?: unknown;
  message?: string;
}

export interface JobEnd {
  /** Exit status of the command: 0 done. A failure (1, 2) rejects the request instead. */
  exit: number;
}

/** What the runner answers and hears. */
export type RunnerContract = {
  requests: {
    'host/status': { params: Record<string, never>; result: HostStatus };
    /** Newest first. */
    'runs/list': { params: Record<string, never>; result: RunSummary[] };
    'runs/get': { params: { run: string }; result: RunSummary };
    /** Begins a detached training process. Answered when that process has its run directory and is alive. */
    'runs/start': { params: StartRun; result: RunSummary };
    /** Goes on from the last checkpoint, in a detached process. `set`: `key=value` changes. */
    'runs/resume': { params: { run: string; set?: string[] }; result: RunSummary };
    /** At the end of the step, with a checkpoint. Answered when the process has been told. */
    'runs/stop': { params: { run: string }; result: null };
    /** At once. Answered when the process is gone. */
    'runs/kill': { params: { run: string }; result: null };
    /** Removes the run's directory. A run that is alive is refused (`run_locked`). */
    'runs/delete': { params: { run: string }; result: { freed_bytes: number } };
    'runs/files': { params: { run: string }; result: RunFiles };
    /** `recipe.json` and, where kept, where it came from. */
    'runs/recipe': { params: { run: string }; result: { recipe: Record<string, unknown>; source?: RunSource } };
    /**
     * Its results are on another machine by now: the one it ran on may go. What it does afterwards is not fetched.
     * `what`: the final model, the whole run, or the checkpoint of a step.
     */
    'runs/fetched': { params: { run: string; what: 'model' | 'run' | number }; result: null };
    /** The last `lines` lines of `runner.log`. */
    'runs/log': { params: { run: string; lines: number }; result: { path: string; text: string } };
    /** From now on `run/events` come for this run, first all behind `after`; until `runs/unfollow` or the end of the wire. */
    'runs/follow': { params: { run: string; after: number }; result: null };
    'runs/unfollow': { params: { run: string }; result: null };
    /**
     * Runs one of the command line's commands (`compare`, `generate`, `preview`, `estimate`, `doctor`, `export`, `eval`)
     * in a process of its own with `--json`; its lines come as `job/line` while it runs, all before the answer.
     * Cancelling ends the process. `job` is the caller's own name for it.
     */
    'job/run': { params: { job: string; argv: string[]; cwd?: string }; result: JobEnd };
    /** By name, without hidden ones. `path`: absolute, or beginning with `~`; the answer's is absolute. */
    'files/list': { params: { path: string }; result: { path: string; entries: FolderEntry[] } };
    /**
     * Which of these files are not in the store of sent files yet. `have_bytes` is what an upload that broke off left
     * in `partial_path`: go on from there. `path` is where the file will be.
     */
    'data/plan': { params: { files: DataFile[] }; result: DataPlan[] };
    /** Checks that `partial_path` has the hash, and moves it to its place. `transfer_failed` where it has not. */
    'data/commit': { params: DataFile; result: { path: string } };
  };
  notifications: Record<never, never>;
};

/** A file by its content. */
export interface DataFile {
  /** 64 hex digits. */
  sha256: string;
  bytes: number;
  /** Its name with extension; folders with `/` for files that belong together (a model's), then with `group`. */
  name: string;
  /** Hash over all files of a folder: they then lie together under it. */
  group?: string;
}

export interface DataPlan {
  path: string;
  partial_path: string;
  have_bytes: number;
  /** Nothing is to be sent. */
  present: boolean;
}

/** What the client hears. */
export type RunnerClientContract = {
  requests: Record<never, never>;
  notifications: {
    /** In order, without a gap or a double. */
    'run/events': { run: string; events: RunEvent[] };
    /** A run came, went or changed its state. */
    'runs/changed': { runs: RunSummary[] };
    'job/line': JobLine;
  };
};
