/** The runs of all hosts, as the sidebar, the panels and the commands use them. */
import type { CheckpointEvent, EndEvent, EvalEvent, GenerationEvent, StartEvent, WarningEvent } from '@protocol/events';
import type { RunSummary } from '@protocol/runner';
import type { Disposable, Event } from 'vscode-jsonrpc';

/** Names a run among all hosts. */
export interface RunRef {
  /** A host's id. */
  host: string;
  /** The run's id. */
  run: string;
}

/** A run with where it is. Of a host that is not connected: as it was when last seen. */
export interface HostRun extends RunSummary {
  host: string;
}

export const runKey = ({ host, run }: RunRef): string => `${host}/${run}`;

export interface Runs {
  /** Newest first. */
  list(host?: string): readonly HostRun[];
  get(ref: RunRef): HostRun | undefined;
  /** A run came, went, or changed its state or its figures; at most 4 times a second. */
  readonly onDidChange: Event<void>;
  /**
   * The events of a run as columns, kept up to date until disposed of. What was seen before is read from this machine's
   * own copy, the rest is asked for from the last `seq`. Several callers share one.
   */
  follow(ref: RunRef): FollowedRun;
}

/** Columns of one length, a row a `log` event. NaN where a value is unknown or was not finite. */
export interface LogColumns {
  readonly length: number;
  readonly step: Float64Array;
  /** Milliseconds since 1970. */
  readonly time: Float64Array;
  /** Seconds of training, pauses between resumes left out. */
  readonly seconds: Float64Array;
  readonly epoch: Float64Array;
  readonly tokens_seen: Float64Array;
  readonly loss: Float64Array;
  readonly learning_rate: Float64Array;
  readonly grad_norm: Float64Array;
  readonly tokens_per_second: Float64Array;
  readonly memory_bytes: Float64Array;
  /** Sum over the GPUs, and their mean (0–1). */
  readonly gpu_bytes: Float64Array;
  readonly gpu_utilization: Float64Array;
}

export type Timed<E> = E & { seq: number; time: string };

export interface FollowedRun extends Disposable {
  readonly ref: RunRef;
  /** Views of at least `length` rows, valid until the next change; only the first `length` rows hold anything. */
  readonly log: LogColumns;
  readonly evals: readonly Timed<EvalEvent>[];
  readonly checkpoints: readonly Timed<CheckpointEvent>[];
  readonly warnings: readonly Timed<WarningEvent>[];
  readonly generations: readonly Timed<GenerationEvent>[];
  /** Seconds that each rank computed a step lately; empty where there is one. */
  readonly rankSeconds: readonly number[];
  /** Steps of an fp16 run that overflowed and changed no weight. */
  readonly skippedSteps: number;
  readonly start: Timed<StartEvent> | undefined;
  /** Of the last attempt; undefined again once it is resumed. */
  readonly end: Timed<EndEvent> | undefined;
  readonly lastSeq: number;
  /**
   * Rows came. After a resume from an older checkpoint, rows beyond its step are taken back first: `rewritten` says from
   * which row on everything is new.
   */
  readonly onDidChange: Event<{ rewritten?: number }>;
}
