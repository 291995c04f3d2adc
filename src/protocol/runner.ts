/** What the runner's jobs take and give: the command line and, later, the extension call them by these types. */
import type { RunEventBody } from './events';
import type { GenerationRecipe, Recipe } from './recipe';

/** A recipe that was read and checked, with where it came from. */
export interface LoadedRecipe {
  recipe: Recipe;
  /** The file; absent where the recipe was made in memory. */
  path?: string;
  /** Folder that relative paths in the recipe start from. */
  baseDir: string;
}

export interface TrainRequest extends LoadedRecipe {
  runId: string;
  /** Exists, and its lock is held by the caller. */
  runDir: string;
  /** Aborted: stop at the end of the step, with a checkpoint. */
  signal?: AbortSignal;
  emit(event: RunEventBody): void;
  /** Stages before training ("loading weights", "downloading 40%"). */
  onStage?(stage: string): void;
}

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

export interface EvalRequest extends LoadedRecipe {
  /** Model folder, hub name, checkpoint, or run directory; default: the recipe's. */
  model?: string;
  signal?: AbortSignal;
}

export interface EvalResult {
  model: string;
  weights: string;
  eval_loss: number;
  eval_perplexity: number;
  eval_samples: number;
  eval_tokens: number;
  eval_runtime: number;
}

/** Which models, by folder, hub name, checkpoint or run directory (its final model). */
export interface GenerateRequest {
  model: string;
  baseDir: string;
  prompts: string[];
  generation: GenerationRecipe;
  device: string;
  /** Text as it comes, prompt by prompt. */
  onText?(promptIndex: number, text: string): void;
  signal?: AbortSignal;
}

export interface GenerateResult {
  prompt: string;
  text: string;
  /** Hash of the weights that made the text. */
  weights: string;
  finish_reason: string;
  seconds: number;
}

export interface CompareRequest {
  models: string[];
  baseDir: string;
  prompts: string[];
  generation: GenerationRecipe;
  device: string;
  /** Where given, its test split tells each model's perplexity. */
  recipe?: LoadedRecipe;
  onProgress?(label: string, done: number, total: number): void;
  signal?: AbortSignal;
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

export interface EstimateRequest extends LoadedRecipe {
  measure: boolean;
  runDir: string;
  signal?: AbortSignal;
}

export interface ExportRequest {
  /** Run directory, checkpoint or model folder. */
  from: string;
  out: string;
  signal?: AbortSignal;
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
