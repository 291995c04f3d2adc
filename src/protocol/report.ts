/** What the report of a run shows: made by the runner from `events.jsonl` and `recipe.json`, drawn by the page. */

/** One column a quantity, all of one length; `null` where a value was not finite. */
export interface ReportLog {
  step: number[];
  /** Seconds of training when the line was written, pauses between resumes left out. */
  seconds: number[];
  tokens_seen: number[];
  loss: (number | null)[];
  /** Exponential moving average of `loss`, computed before any thinning. */
  smooth: (number | null)[];
  learning_rate: (number | null)[];
  grad_norm: (number | null)[];
  tokens_per_second: (number | null)[];
  memory_bytes: (number | null)[];
}

export interface ReportGeneration {
  step: number;
  text: string;
  /** Hash of the weights that wrote it. */
  weights: string;
}

export interface ReportData {
  run: string;
  model: string;
  method: string;
  device: string;
  device_reason: string;
  parameters: number;
  trainable_parameters: number;
  train_samples: number;
  eval_samples: number;
  /** `unfinished`: there is no end event, so the run still goes on or was cut off. */
  status: 'completed' | 'stopped' | 'failed' | 'unfinished';
  /** For `failed`: why. */
  message?: string;
  /** ISO 8601 UTC of the first start. */
  started?: string;
  /** Seconds the run was at work, over all resumes. */
  seconds: number;
  resumes: number;
  step: number;
  total_steps: number;
  model_path?: string;
  log: ReportLog;
  /** Log events there were; more than `log` holds where it was thinned. */
  log_events: number;
  evals: { step: number; eval_loss: number; eval_accuracy?: number; best: boolean }[];
  checkpoints: { step: number; path: string }[];
  warnings: { step: number; message: string }[];
  /** What was written for each prompt before and after training. */
  generations: { prompt: string; base?: ReportGeneration; tuned?: ReportGeneration }[];
  recipe: unknown;
}
