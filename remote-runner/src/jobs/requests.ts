/** What the jobs take. What they answer is in `@protocol/runner`: it crosses the wire, these do not. */
import type { CompareCell } from '@protocol/compare';
import type { RunEventBody } from '@protocol/events';
import type { GenerationRecipe, Recipe } from '@protocol/recipe';
import type { Collective } from '../collectives/collective';

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
  /** The ranks that train together; this process is one of them. Default: it is alone. */
  collective?: Collective;
  /** Aborted: stop, with a checkpoint. */
  signal?: AbortSignal;
  emit(event: RunEventBody): void;
  /** Stages before training ("loading weights", "downloading 40%"). */
  onStage?(stage: string): void;
}

export interface EvalRequest extends LoadedRecipe {
  /** Model folder, hub name, checkpoint, or run directory; default: the recipe's. */
  model?: string;
  signal?: AbortSignal;
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
  /** Stages before the first text ("Loading the weights"). */
  onStage?(stage: string): void;
  onWarning?(message: string): void;
  signal?: AbortSignal;
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
  /** A piece of a text, as it is written. */
  onText?(prompt: number, model: number, piece: string): void;
  onCell?(prompt: number, model: number, cell: CompareCell): void;
  signal?: AbortSignal;
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
