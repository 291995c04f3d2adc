/** Which samples come at which step, in which shapes: follows from the recipe and the samples alone. */
import { createHash } from 'node:crypto';
import type { Recipe } from '@protocol/recipe';
import { batchLength, chooseLengths } from '../data/buckets';
import { type Batch, collate } from '../data/collate';
import { planEpoch, stepsPerEpoch } from '../data/sampler';
import type { Sample } from '../data/tokenize';
import type { Front } from '../models/causalLm';

type PlanRecipe = Pick<
  Recipe,
  | 'per_device_train_batch_size'
  | 'per_device_eval_batch_size'
  | 'gradient_accumulation_steps'
  | 'world_size'
  | 'num_train_epochs'
  | 'max_steps'
  | 'seed'
  | 'pad_to'
  | 'group_by_length'
> & { dataset?: Recipe['dataset'] };

/** Padding costs attention alone (see packedBatch.ts): more lengths than these save less than their graphs cost. */
const MAX_LENGTHS = 8;

export interface PlanOptions {
  recipe: PlanRecipe;
  train: readonly Sample[];
  maxLength: number;
  padTokenId: number;
  /** The model's. */
  front?: Front | undefined;
  /** Steps → micro-batches → sample indexes of an epoch; default: shuffled by the seed. */
  epochPlan?: (epoch: number) => readonly (readonly (readonly number[])[])[];
}

export class TrainingPlan {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  private readonly buckets: readonly number[];
  private cached: { epoch: number; steps: readonly (readonly (readonly number[])[])[] } | undefined;

  constructor(private readonly options: PlanOptions) {
    const { recipe, train, maxLength } = options;
    this.stepsPerEpoch = stepsPerEpoch(train.length, recipe.per_device_train_batch_size, accumulationOf(recipe));
    this.totalSteps = recipe.max_steps > 0 ? recipe.max_steps : Math.ceil(this.stepsPerEpoch * recipe.num_train_epochs);
    // What is padded is batches, so the lengths are chosen for the longest sample of each batch.
    const longest = this.epoch(0)
      .flat()
      .map((batch) => Math.max(...batch.map((i) => train[i]!.inputIds.length)));
    this.buckets = chooseLengths(longest, { maxLength, maxBuckets: MAX_LENGTHS });
  }

  /** Epochs done before `step` (0-based), with a fraction: as in transformers, by batches, since an epoch's last step may have fewer. */
  epochAt(step: number): number {
    const { recipe, train } = this.options;
    const batches = Math.ceil(train.length / recipe.per_device_train_batch_size);
    const inEpoch = (step % this.stepsPerEpoch) * accumulationOf(recipe);
    return Math.floor(step / this.stepsPerEpoch) + inEpoch / batches;
  }

  /** The micro-batches of a step (0-based). */
  batches(step: number): Batch[] {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    const { recipe, train, maxLength, padTokenId, front } = this.options;
    return this.epoch(epoch)[step % this.stepsPerEpoch]!.map((indexes) => {
      const samples = indexes.map((i) => train[i]!);
      const lengths = samples.map((sample) => sample.inputIds.length);
      const length =
        recipe.pad_to === 'bucket' && Math.max(...lengths) > Math.max(...this.buckets)
          ? maxLength
          : batchLength(lengths, { padTo: recipe.pad_to, buckets: this.buckets, maxLength });
      return collate(samples, { length, batchSize: recipe.per_device_train_batch_size, padTokenId, front });
    });
  }

  /** The largest batch shape of the first epoch, for estimates. */
  largestBatch(): { batch: number; length: number } {
    const { recipe, maxLength, front } = this.options;
    const longest = recipe.pad_to === 'max_length' ? maxLength : Math.max(...this.buckets);
    return { batch: recipe.per_device_train_batch_size, length: longest + (front?.ids.length ?? 0) };
  }

  private epoch(epoch: number) {
    if (this.cached?.epoch === epoch) return this.cached.steps;
    const { recipe, train } = this.options;
    const steps = this.options.epochPlan
      ? this.options.epochPlan(epoch)
      : planEpoch({
          n: train.length,
          batchSize: recipe.per_device_train_batch_size,
          accumulation: accumulationOf(recipe),
          seed: recipe.seed,
          epoch,
          lengths: train.map((sample) => sample.inputIds.length),
          groupByLength: recipe.group_by_length,
          shuffle: typeof recipe.dataset !== 'object' || recipe.dataset.shuffle,
        });
    this.cached = { epoch, steps };
    return steps;
  }
}

/** Micro-batches of a step, of all ranks. */
const accumulationOf = (recipe: Pick<Recipe, 'gradient_accumulation_steps' | 'world_size'>): number =>
  recipe.gradient_accumulation_steps * recipe.world_size;

/** Evaluation batches: like lengths together, so that little is padded. */
export function evaluationBatches(
  samples: readonly Sample[],
  recipe: PlanRecipe,
  { maxLength, padTokenId, front }: Pick<PlanOptions, 'maxLength' | 'padTokenId' | 'front'>,
): Batch[] {
  const sorted = [...samples].sort((a, b) => a.inputIds.length - b.inputIds.length);
  const size = recipe.per_device_eval_batch_size;
  const groups: Sample[][] = [];
  for (let i = 0; i < sorted.length; i += size) groups.push(sorted.slice(i, i + size));
  const longest = groups.map((group) => group.at(-1)!.inputIds.length);
  if (groups.length === 0) return [];
  const buckets = chooseLengths(longest, { maxLength, maxBuckets: MAX_LENGTHS });
  return groups.map((group, i) => {
    const length = batchLength([longest[i]!], { padTo: recipe.pad_to, buckets, maxLength });
    return collate(group, { length, batchSize: size, padTokenId, front });
  });
}

/** Changes when a resumed run would not see the same samples in the same order with the same arithmetic. */
export function planFingerprint(recipe: Recipe, train: readonly Sample[]): string {
  const hash = createHash('sha256');
  const {
    model,
    dataset: _dataset,
    device: _device,
    generation: _generation,
    logging_steps: _logging,
    eval_strategy: _eval,
    eval_steps: _evalSteps,
    save_strategy: _save,
    save_steps: _saveSteps,
    save_total_limit: _limit,
    resume_from_checkpoint: _resume,
    load_best_model_at_end: _best,
    early_stopping_patience: _patience,
    early_stopping_threshold: _threshold,
    metric_for_best_model: _metric,
    max_steps: _max,
    gradient_checkpointing: _checkpointing,
    hostfile: _hostfile,
    zero_stage: _zero,
    offload_optimizer: _offload,
    offload_param: _offloadParam,
    cuda_graphs: _record,
    world_size,
    gradient_accumulation_steps,
    num_train_epochs: _epochs,
    per_device_eval_batch_size: _evalBatch,
    $schema: _schema,
    bf16,
    fp16,
    tf32,
    lora,
    quantization,
    ia3,
    prompt_tuning,
    p_tuning,
    prefix_tuning,
    ...rest
  } = recipe;
  const ofMethod = {
    full: {},
    lora: { lora },
    qlora: { lora, quantization },
    ia3: { ia3 },
    prompt_tuning: { prompt_tuning },
    p_tuning: { p_tuning },
    prefix_tuning: { prefix_tuning },
  }[recipe.method];
  const precision = { ...(bf16 && { bf16 }), ...(fp16 && { fp16 }), ...(tf32 && { tf32 }) };
  // Who computes what of a step is not for the result.
  hash.update(
    JSON.stringify({ ...rest, ...ofMethod, ...precision, accumulation: gradient_accumulation_steps * world_size }),
  );
  hash.update(model);
  for (const sample of train) {
    hash.update(sample.inputIds);
    hash.update(sample.labels);
  }
  return `sha256:${hash.digest('hex').slice(0, 16)}`;
}
