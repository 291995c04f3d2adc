/** What the runner's jobs answer: the command line and, later, the extension read them. */

export interface TrainResult {
  status: 'completed' | 'stopped';
  step: number;
  total_steps: number;
  first_loss?: number;
  last_loss?: number;
  eval_loss?: number;
  eval_perplexity?: number;
  best_step?: number;
  best_metric?: number;
  /** The final model, a Hugging Face directory. */
  model_path?: string;
  runtime: number;
}

export interface EvalResult {
  model: string;
  weights: string;
  eval_loss: number;
  eval_perplexity: number;
  /** Share of the tokens to predict that the model finds likelier than any other. */
  eval_accuracy: number;
  eval_samples: number;
  eval_tokens: number;
  eval_runtime: number;
}

export interface GenerateResult {
  prompt: string;
  text: string;
  /** Hash of the weights that made the text. */
  weights: string;
  finish_reason: string;
  seconds: number;
}

/** Bytes of memory by what they hold, and on disk. */
export interface Estimate {
  model: string;
  parameters: number;
  trainable_parameters: number;
  batch: number;
  length: number;
  weights_bytes: number;
  gradients_bytes: number;
  optimizer_bytes: number;
  activations_bytes: number;
  /** The chunk of logits, its gradient and the buffers ONNX Runtime works in. */
  working_bytes: number;
  /** What of these stays in the host's memory where a GPU computes. */
  offloaded_bytes?: number;
  /** What of them would with "offload_param"; only where that is needed on some GPU. */
  offloadable_bytes?: number;
  /** Node, ONNX Runtime and the data set. */
  process_bytes: number;
  peak_bytes: number;
  checkpoint_bytes: number;
  /** All checkpoints that stay, and the final model. */
  disk_bytes: number;
  free_memory_bytes: number;
  free_disk_bytes: number;
  total_steps: number;
  /** With `--measure`: what one real step took. */
  measured?: { peak_bytes: number; step_seconds: number };
}

export interface ExportResult {
  path: string;
  bytes: number;
  weights: string;
}

/** One line of `doctor`. */
export interface Check {
  name: string;
  status: 'ok' | 'warning' | 'failed';
  /** What was found. */
  detail: string;
  /** What to do, where something is to be done. */
  remedy?: string;
}

/** One run as `runs` lists it. */
export interface RunSummary {
  id: string;
  dir: string;
  /** `queued`: it waits for its device. `crashed`: it said nothing of an end, and no process holds it any more. */
  state: 'queued' | 'running' | 'completed' | 'stopped' | 'failed' | 'crashed';
  /** It was asked to stop, and does so at the end of its step. */
  stopping?: true;
  /** ISO 8601: when it first began, and its last event. */
  started: string;
  updated: string;
  model?: string;
  method?: string;
  device?: string;
  step: number;
  total_steps: number;
  last_loss?: number;
  /** Of the first evaluation, and of the last. */
  first_eval_loss?: number;
  eval_loss?: number;
  /** Of the last evaluation: the share of tokens that the model finds likelier than any other. */
  eval_accuracy?: number;
  /** Of a running one, from the pace of its last steps. */
  seconds_left?: number;
  /** Why it failed. */
  message?: string;
  /** Where the final model lies. */
  model_path?: string;
  /** What it left was brought to another machine, and it has done nothing since. */
  fetched?: true;
}
