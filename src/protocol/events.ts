/**
 * The events of a run: one JSON object a line in `events.jsonl`, append only, numbered from 1 without a gap.
 * Whoever comes back reads on from the last `seq` it saw.
 */

/** The run waits for its device, because others were there before it. */
export interface QueuedEvent {
  type: 'queued';
  step: number;
  device: string;
  /** Ids of the runs in front of it, the one that holds the device first. */
  behind: string[];
}

export interface StartEvent {
  type: 'start';
  run: string;
  pid: number;
  /** Step the run begins at: 0, or the checkpoint's step when resumed. */
  step: number;
  total_steps: number;
  model: string;
  method: string;
  /** Weights in all and weights trained. */
  parameters: number;
  trainable_parameters: number;
  train_samples: number;
  eval_samples: number;
  device: string;
  /** Why that device: "CPU: libcublas.so.12 not found". */
  device_reason: string;
  /** Where several ranks train together: each one's machine and device, rank 0 first. */
  ranks?: RankPlace[];
  resumed_from?: string;
}

export interface RankPlace {
  host: string;
  device: string;
}

export interface LogEvent {
  type: 'log';
  step: number;
  epoch: number;
  /** Mean loss a supervised token since the last log line, in nats. */
  loss: number;
  learning_rate: number;
  /** Global 2-norm of the gradient before clipping, at this step. */
  grad_norm: number;
  /** Input tokens (without padding) a second since the last log line. */
  tokens_per_second: number;
  /** Tokens that carried a label, since the last log line. */
  supervised_tokens: number;
  /** Input tokens without padding since the run began (over all resumes). */
  tokens_seen: number;
  /** Resident memory of the process, bytes. */
  memory_bytes: number;
  /** Seconds spent per optimizer step, mean since the last log line. */
  step_seconds: number;
  /** Seconds that each rank computed in the last step, before it waited for the others. */
  rank_seconds?: number[];
  /** What fp16 multiplies the loss by, and the steps so far that overflowed and changed no weight. */
  loss_scale?: number;
  skipped_steps?: number;
  /** The GPUs of the machine, where it has some. */
  gpus?: GpuUse[];
}

/** How busy a GPU is, as `nvidia-smi` says. */
export interface GpuUse {
  index: number;
  used_bytes: number;
  /** 0 to 1. */
  utilization: number;
}

export interface EvalEvent {
  type: 'eval';
  step: number;
  epoch: number;
  eval_loss: number;
  eval_perplexity: number;
  /** Share of the tokens to predict that the model finds likelier than any other. Runs of older versions lack it. */
  eval_accuracy?: number;
  eval_samples: number;
  eval_tokens: number;
  eval_runtime: number;
  /** Whether this is the best `metric_for_best_model` so far. */
  best: boolean;
}

export interface CheckpointEvent {
  type: 'checkpoint';
  step: number;
  path: string;
  bytes: number;
  /** Checkpoints removed for `save_total_limit`. */
  removed: string[];
}

export interface GenerationEvent {
  type: 'generation';
  step: number;
  prompt: string;
  text: string;
  /** Hash of the weights that made the text: `sha256:` and 12 hex digits. */
  weights: string;
}

export interface WarningEvent {
  type: 'warning';
  step: number;
  code: string;
  message: string;
}

export interface EndEvent {
  type: 'end';
  status: 'completed' | 'stopped' | 'failed';
  step: number;
  /** For `failed`: the error's code and sentence. */
  code?: string;
  message?: string;
  best_step?: number;
  best_metric?: number;
  /** Where the final model lies. */
  model_path?: string;
  runtime: number;
}

export type RunEventBody =
  | QueuedEvent
  | StartEvent
  | LogEvent
  | EvalEvent
  | CheckpointEvent
  | GenerationEvent
  | WarningEvent
  | EndEvent;

/** One line of `events.jsonl`; `time` is ISO 8601 UTC. */
export type RunEvent = RunEventBody & { seq: number; time: string };
