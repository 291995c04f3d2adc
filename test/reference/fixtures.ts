/**
 * The reference fixtures, typed. Keys are those of the files, which README.md beside this describes: shapes, units,
 * what each number means, and the script that made them.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '@runner/hub/safetensors';

/** Models with logits, loss and gradients. */
export const REFERENCE_MODELS = [
  'gpt2-a',
  'gpt2-b',
  'gpt2-c',
  'gpt2-d',
  'gpt2-drop',
  'gpt-neo-a',
  'gpt-neo-b',
  'gpt-neox-a',
  'gpt-neox-b',
  'opt-a',
  'opt-b',
  'opt-c',
  'bloom-a',
  'bloom-b',
  'llama-a',
  'llama-b',
  'llama-c',
  'mistral-a',
  'qwen2-a',
  'qwen3-a',
  'gemma2-a',
  'gemma3-a',
  'phi3-a',
  'phi3-b',
] as const;
/** Those whose gradients can be compared: training draws dropout masks, which are not torch's. */
export const GRADIENT_MODELS = REFERENCE_MODELS.filter((name) => name !== 'gpt2-drop');
/** `gpt2-a`'s weights in other files: logits and loss only. */
export const REFERENCE_VARIANTS = ['gpt2-a-f16', 'gpt2-a-bf16', 'gpt2-a-sharded'] as const;
/** Models with generations. */
export const GENERATION_MODELS = ['gpt2-a', 'gpt2-b', 'gpt-neo-a'] as const;
/** Runs under transformers' Trainer. */
export const TRAINING_RUNS = [
  'gpt2-a',
  'gpt-neo-a',
  'gpt2-b-epochs',
  'llama-a',
  'mistral-a',
  'qwen2-a',
  'qwen3-a',
  'gemma2-a',
  'gemma3-a',
  'phi3-a',
  'gpt-neox-a',
  'opt-a',
  'bloom-a',
  'lora-llama',
  'dora-gpt2',
  'ia3-llama',
  'prompt-gpt2',
  'prefix-llama',
  'lora-plus-llama',
] as const;

/** Those that were trained in 16 bits, too. */
export const PRECISION_RUNS = ['gpt2-a', 'gpt-neo-a', 'gpt2-b-epochs'] as const;

export type GenerationModel = (typeof GENERATION_MODELS)[number];
export type TrainingRun = (typeof TRAINING_RUNS)[number];
export type ReferenceModel = (typeof REFERENCE_MODELS)[number] | (typeof REFERENCE_VARIANTS)[number];

/** `max|ours − reference| / max|reference|`: what "1e-4 relative" means here. Infinity where lengths differ. */
export function deviation(ours: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (ours.length !== reference.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < reference.length; i++) {
    const gap = Math.abs(ours[i]! - reference[i]!);
    // Written so that a NaN counts as infinitely wrong.
    if (!(gap <= difference)) difference = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
    largest = Math.max(largest, Math.abs(reference[i]!));
  }
  return difference === 0 ? 0 : difference / largest;
}

/** Biases of keys that are not turned: what is added to every key alike moves no probability. */
export const hasNoEffect = (parameter: string): boolean => /\.decoder\..*\.k_proj\.bias$/.test(parameter);

/** A fixture model's Hugging Face directory. */
export function modelDirOf(name: ReferenceModel): string {
  return pathOf(`models/${name}`);
}

/** Float32 tensors of a fixture by name. */
export interface ReferenceTensors {
  names(): string[];
  shape(name: string): readonly number[];
  /** @throws TuneyardError where there is no such tensor */
  read(name: string): Promise<Float32Array>;
}

export interface ReferenceBatch {
  /** `[B][T]`, padded on the right with the end-of-text id. */
  input_ids: number[][];
  /** `[B][T]`: 1 where a token is real. */
  attention_mask: number[][];
  /** `[B][T]`, not shifted; −100 in prompt and padding. */
  labels: number[][];
  lengths: number[];
  prompt_lengths: number[];
  /** Predictions that count. */
  supervised: number;
  /** Mean cross-entropy over them. */
  loss: number;
  loss_float64: number;
}

export interface ReferenceCase {
  model: ReferenceModel;
  parameters: string[];
  batches: ReferenceBatch[];
  /** Deviation of transformers' float32 from its float64. */
  float32_vs_float64: { logits: number; gradient: number };
  /** `n.logits` `[B, T, V]` (0 where padded) and, for the first two batches of a model, `n.grad.PARAMETER`. */
  tensors: ReferenceTensors;
}

export async function readCase(name: ReferenceModel): Promise<ReferenceCase> {
  return {
    ...readJson<Omit<ReferenceCase, 'tensors'>>(`cases/${name}.json`),
    tensors: await readTensors(`cases/${name}`),
  };
}

/** Adapters that PEFT made and saved, and that can be merged into weights. */
export const ADAPTERS = [
  'lora-gpt2',
  'lora-llama',
  'lora-qwen',
  'dora-llama',
  'dora-gpt2',
  'ia3-gpt2',
  'ia3-llama',
] as const;
/** The same beside matrices that bitsandbytes has quantized. */
export const QUANTIZED_ADAPTERS = ['qlora-llama', 'qlora-gpt2', 'qlora-qwen2'] as const;
/** Virtual tokens, which no weights can take in. */
export const SOFT_ADAPTERS = [
  'prompt-gpt2',
  'prompt-gemma3',
  'prompt-bloom',
  'prefix-llama',
  'prefix-gpt2',
  'prefix-bloom',
  'p-tuning-llama',
] as const;
export type AdapterName =
  | (typeof ADAPTERS)[number]
  | (typeof QUANTIZED_ADAPTERS)[number]
  | (typeof SOFT_ADAPTERS)[number];

export interface ReferenceAdapter {
  model: ReferenceModel;
  kind: 'LORA' | 'IA3' | 'PROMPT_TUNING' | 'PREFIX_TUNING' | 'P_TUNING';
  /** What a recipe says of its method. */
  options: Record<string, unknown>;
  quantized: 'nf4' | 'int8' | null;
  batches: ReferenceBatch[];
  /** Deviation of the logits when the adapter is merged; null where it cannot be. */
  merged: number | null;
}

export const adapterDirOf = (name: AdapterName): string => pathOf(`adapters/${name}`);
export const readAdapter = (name: AdapterName): ReferenceAdapter => readJson(`adapters/${name}/reference.json`);
/** As {@link ReferenceCase.tensors}; gradients go by PEFT's names of parameters. */
export const readAdapterTensors = (name: AdapterName): Promise<ReferenceTensors> =>
  readTensors(`adapters/${name}/reference`);

/** Matrices, and what bitsandbytes makes of them. */
export const readQuantization = (): Promise<ReferenceTensors> => readTensors('quantization');

export interface ReferenceSample {
  input_ids: number[];
  labels: number[];
}

export interface ReferenceStep {
  /** Indices into the samples, by micro-batch, in the order used. */
  batches: number[][];
  supervised: number;
  epoch: number;
  /** Cross-entropy summed over the step's supervised tokens, divided by their number in the whole step. */
  loss: number;
  /** Global norm before clipping. */
  grad_norm: number;
  /** The rate that this step used. */
  learning_rate: number;
}

export interface ReferenceTraining {
  model: ReferenceModel;
  /** From which it goes on. */
  adapter?: AdapterName;
  loraplus_lr_ratio?: number | null;
  options: {
    optim: 'adamw_torch';
    learning_rate: number;
    lr_scheduler_type: 'linear' | 'cosine';
    warmup_steps: number;
    weight_decay: number;
    max_grad_norm: number;
    per_device_train_batch_size: number;
    gradient_accumulation_steps: number;
    max_steps: number;
    adam_beta1: number;
    adam_beta2: number;
    adam_epsilon: number;
  };
  decayed_parameters: string[];
  samples: ReferenceSample[];
  steps: ReferenceStep[];
  /** Every parameter after the last step, under its own name. */
  finalParameters: ReferenceTensors;
}

export async function readTraining(name: TrainingRun): Promise<ReferenceTraining> {
  const run = readJson<Omit<ReferenceTraining, 'finalParameters'>>(`training/${name}.json`);
  return { ...run, finalParameters: await readTensors(`training/${name}`) };
}

/** Loss and norm of each step of the training runs under Trainer's mixed precision. */
export function readPrecisions(): Record<'bf16', Record<TrainingRun, { loss: number; grad_norm: number }[]>> {
  return readJson('precisions.json');
}

export interface ReferenceGenerationOptions {
  num_beams?: number;
  length_penalty?: number;
  early_stopping?: boolean;
  no_repeat_ngram_size?: number;
  repetition_penalty?: number;
}

export interface ReferenceSequence {
  /** New ids, up to and with the end-of-text id. */
  tokens: number[];
  /** Beams only: sum of log-probabilities ÷ length^length_penalty. */
  score?: number;
}

export interface ReferenceGenerations {
  model: ReferenceModel;
  max_new_tokens: number;
  prompts: number[][];
  cases: {
    /** Not the model's own; null: nothing ends a text. */
    eos_token_id: number | null;
    options: ReferenceGenerationOptions;
    /** `[prompt][rank]`, best first. */
    results: ReferenceSequence[][];
  }[];
}

export function readGenerations(name: GenerationModel): ReferenceGenerations {
  return readJson(`generations/${name}.json`);
}

export interface ReferenceProcessors {
  histories: number[][];
  /** `[row][vocabulary]` */
  before: number[][];
  cases: {
    options: {
      repetition_penalty?: number;
      no_repeat_ngram_size?: number;
      temperature?: number;
      top_k?: number;
      top_p?: number;
    };
    /** `[row][vocabulary]`; −Infinity where a token is out. */
    after: number[][];
  }[];
}

export function readProcessors(): ReferenceProcessors {
  return JSON.parse(readFileSync(pathOf('processors.json'), 'utf8'), (_key, value: unknown) =>
    value === null ? Number.NEGATIVE_INFINITY : value,
  ) as ReferenceProcessors;
}

type OptimizerTensors = Record<'matrix' | 'vector' | 'embedding', number[]>;

export interface ReferenceOptimizers {
  shapes: OptimizerTensors;
  start: OptimizerTensors;
  /** Of each step. */
  learning_rates: number[];
  /** Of each step, row-major. */
  gradients: OptimizerTensors[];
  cases: Record<string, { options: Record<string, unknown>; parameters: OptimizerTensors[] }>;
}

export function readOptimizers(): ReferenceOptimizers {
  return readJson('optimizers.json');
}

export interface ReferenceSchedules {
  learning_rate: number;
  total_steps: number;
  cases: {
    name: 'linear' | 'cosine' | 'constant' | 'constant_with_warmup';
    warmup_steps: number;
    /** Rate i is what optimizer step i, from 0, uses; one more than there are steps. */
    learning_rates: number[];
  }[];
}

export function readSchedules(): ReferenceSchedules {
  return readJson('schedules.json');
}

function pathOf(path: string): string {
  return fileURLToPath(new URL(`fixtures/${path}`, import.meta.url));
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(pathOf(path), 'utf8')) as T;
}

async function readTensors(path: string): Promise<ReferenceTensors> {
  const weights = await openSafetensors(pathOf(`${path}.safetensors`));
  return {
    names: () => weights.names(),
    shape: (name) => weights.info(name).shape,
    read: (name) => weights.readFloat32(name),
  };
}

/** A chat template, as it is and with `{% generation %}` blocks, and what transformers makes of some chats with it. */
export interface ReferenceChats {
  plain: string;
  marked: string;
  tokens: Record<string, string>;
  cases: {
    messages: { role: string; content: string }[];
    text?: string;
    /** Characters `[start, end)` that the assistant wrote. */
    spans?: [start: number, end: number][];
    /** In place of both: why the template does not take the chat. */
    refusal?: string;
  }[];
}

/** By the name of the model whose template behaves so. */
export function readChats(): Record<string, ReferenceChats> {
  return JSON.parse(readFileSync(pathOf('chats.json'), 'utf8'), (key, value: unknown) =>
    // Python counts characters, JavaScript UTF-16 units.
    key === 'cases' ? (value as ReferenceChats['cases']).map(inUnits) : value,
  ) as Record<string, ReferenceChats>;
}

function inUnits(one: ReferenceChats['cases'][number]): ReferenceChats['cases'][number] {
  if (one.text === undefined || !one.spans) return one;
  const characters = [...one.text];
  const units = (count: number) => characters.slice(0, count).join('').length;
  return { ...one, spans: one.spans.map(([start, end]) => [units(start), units(end)]) };
}
