/**
 * The recipe: what a run is, as a `*.tune.json` file (JSON with comments). Keys and defaults are Hugging Face's
 * where it has one (transformers `TrainingArguments`, `GenerationConfig`). This is the only place the schema is
 * written; the JSON Schema that editors use is generated from it.
 */
import { z } from 'zod';
import { DATASET_FORMATS } from './datasetFormats';

const positiveInt = z.number().int().positive();
const fraction = z.number().min(0).max(1);
const weight = z.number().positive().max(100);
const pattern = z.string().refine(isPattern, 'must be a regular expression');

function isPattern(text: string): boolean {
  try {
    new RegExp(text, 'u');
    return true;
  } catch {
    return false;
  }
}

/** Which rows are used: every condition must hold. A row without the column meets no condition but the negative ones. */
const filterSchema = z
  .strictObject({
    column: z.string().min(1).describe('The column that is looked at.'),
    equals: z.union([z.string(), z.number(), z.boolean()]).optional().describe('It is this.'),
    not_equals: z.union([z.string(), z.number(), z.boolean()]).optional().describe('It is anything but this.'),
    min: z.number().optional().describe('A number of at least this.'),
    max: z.number().optional().describe('A number of at most this.'),
    min_length: z.number().int().min(0).optional().describe('A text, or a list, at least so long.'),
    max_length: z.number().int().min(0).optional().describe('A text, or a list, at most so long.'),
    matches: pattern.optional().describe('A text in which this regular expression is found.'),
    not_matches: pattern.optional().describe('A text in which this regular expression is not found.'),
  })
  .describe('A condition on a column.');

const config = z
  .string()
  .min(1)
  .optional()
  .describe('Which configuration (subset) of a dataset on the hub. Default: the one that it calls so.');
const split = z
  .string()
  .min(1)
  .optional()
  .describe('Which split of a dataset on the hub is trained on. Default: train.');

/** Where the samples come from and how a row becomes text. */
export const datasetSchema = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .describe(
        'File with the samples: JSON, JSONL, CSV, TSV, TXT or Parquet, relative to the recipe; or a dataset on the hub: hf://datasets/OWNER/NAME, with @REVISION or /FILE behind it where wanted.',
      ),
    config,
    split,
    weight: weight
      .optional()
      .describe(
        'How often each training row of this file is used: 0.5 a random half of them, 2 each twice. Default: 1.',
      ),
    sources: z
      .array(
        z.strictObject({
          path: z
            .string()
            .min(1)
            .describe('Another file with samples, relative to the recipe, or a dataset on the hub.'),
          config,
          split,
          weight: weight
            .optional()
            .describe(
              'How often each training row of this file is used: 0.5 a random half of them, 2 each twice. Default: 1.',
            ),
        }),
      )
      .optional()
      .describe('More files, of the same format, mixed with the one at `path`.'),
    filter: z
      .array(filterSchema)
      .optional()
      .describe('Use only rows that meet all of these conditions, for training and for evaluation.'),
    test_path: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe('A file of its own for evaluation, or several; `test_size` is then not used.'),
    test_split: z
      .string()
      .min(1)
      .optional()
      .describe('Which split of the hub dataset at `path` is for evaluation; `test_size` is then not used.'),
    format: z
      .enum(DATASET_FORMATS)
      .optional()
      .describe(
        'What a row is. Default: told by the columns; "template" and "text" take any columns through `template`.',
      ),
    chat_template: z
      .string()
      .optional()
      .describe('How chats are written, in Jinja, in place of the tokenizer’s own chat template.'),
    template: z
      .string()
      .optional()
      .describe(
        'How a row becomes text, with columns in braces: "{text} {target}". Write {{ and }} for braces. Default: "{text}{target}" where a `target` column exists, else "{text}".',
      ),
    target_column: z
      .string()
      .optional()
      .describe(
        'The column the model learns to write; what comes before it is the prompt. Default: `target` where it exists.',
      ),
    train_on_prompt: z
      .boolean()
      .default(false)
      .describe(
        'Also compute the loss on the prompt. Data without a target column is trained on as a whole in any case.',
      ),
    append_eos: z.boolean().default(true).describe('Put the end-of-sequence token behind each sample and learn it.'),
    pack: z
      .boolean()
      .default(false)
      .describe(
        'Join the samples end to end and cut them into blocks of max_length: for pretraining on plain text. A text file is then one text, not a sample a paragraph.',
      ),
    shuffle: z
      .boolean()
      .default(true)
      .describe(
        'Mix the training samples anew for each epoch, as `seed` says. False: in the order of the data, as for samples that become harder.',
      ),
    test_size: fraction.default(0.1).describe('Share of the samples held out for evaluation (0: none).'),
    max_train_samples: positiveInt.optional().describe('Use only this many training samples.'),
    max_eval_samples: positiveInt.optional().describe('Use only this many evaluation samples.'),
  })
  .describe('The data to train on.');

const matricesSchema = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional();

const loraSchema = z
  .strictObject({
    r: positiveInt.default(8).describe('Rank of the adapter’s matrices.'),
    lora_alpha: z.number().positive().default(8).describe('What the adapter adds is multiplied by lora_alpha / r.'),
    lora_dropout: z.number().min(0).lt(1).default(0).describe('Share of what goes into the adapter that is dropped.'),
    target_modules: matricesSchema.describe(
      'Which matrices get an adapter: ends of their names, a regular expression for the whole name, or "all-linear". Default: PEFT’s for the architecture.',
    ),
    bias: z
      .enum(['none', 'all', 'lora_only'])
      .default('none')
      .describe('Biases that are trained as well: none, all, or those of the matrices with an adapter.'),
    modules_to_save: z
      .array(z.string().min(1))
      .default([])
      .describe('Further modules, by the ends of their names, that are trained whole and saved with the adapter.'),
    use_rslora: z.boolean().default(false).describe('Multiply by lora_alpha / √r in place of lora_alpha / r.'),
    use_dora: z
      .boolean()
      .default(false)
      .describe('Learn the length of each row of a matrix apart from its direction (DoRA).'),
    loraplus_lr_ratio: z
      .number()
      .min(1)
      .optional()
      .describe('How many times the learning rate of A that of B is (LoRA+; 16 is usual). Default: the same.'),
  })
  .describe('Low-rank adapters (LoRA), as PEFT has them.');

const ia3Schema = z
  .strictObject({
    target_modules: matricesSchema.describe(
      'Which matrices get factors: ends of their names, a regular expression for the whole name, or "all-linear". Default: PEFT’s for the architecture.',
    ),
    feedforward_modules: matricesSchema.describe(
      'Those of target_modules whose inputs get the factors, not their outputs. Default: none where target_modules is given, else PEFT’s for the architecture.',
    ),
  })
  .describe('Factors for what goes in or comes out ((IA)³), as PEFT has them.');

const virtualTokens = positiveInt.default(20).describe('How many virtual tokens are in front of every text.');

const promptTuningSchema = z
  .strictObject({
    num_virtual_tokens: virtualTokens,
    prompt_tuning_init: z
      .enum(['RANDOM', 'SAMPLE_VOCAB', 'TEXT'])
      .default('RANDOM')
      .describe(
        'What their embeddings begin as: random, those of words drawn from the vocabulary, or those of a text.',
      ),
    prompt_tuning_init_text: z
      .string()
      .min(1)
      .optional()
      .describe('The text that prompt_tuning_init "TEXT" begins with, over and over.'),
  })
  .refine(({ prompt_tuning_init: how, prompt_tuning_init_text: text }) => (how === 'TEXT') === (text !== undefined), {
    path: ['prompt_tuning_init_text'],
    error: 'must be there where "prompt_tuning_init" is "TEXT", and only there',
  })
  .describe('Learnt embeddings in front of every text (prompt tuning), as PEFT has them.');

const pTuningSchema = z
  .strictObject({
    num_virtual_tokens: virtualTokens,
    encoder_hidden_size: positiveInt
      .optional()
      .describe('Width of the network that makes their embeddings. Default: the model’s.'),
  })
  .describe('Embeddings in front of every text that a small network makes (p-tuning), as PEFT has them.');

const prefixTuningSchema = z
  .strictObject({ num_virtual_tokens: virtualTokens })
  .describe('Learnt keys and values in front of every text (prefix tuning), as PEFT has them.');

const quantizationSchema = z
  .strictObject({
    load_in_8bit: z.boolean().default(false).describe('Hold the weights in 8 bits, a scale a row, in place of 4.'),
    bnb_4bit_quant_type: z
      .enum(['nf4'])
      .default('nf4')
      .describe('What 4 bits stand for: NormalFloat, in blocks of 64, whose scales are of 8 bits.'),
  })
  .describe('How `qlora` holds the weights that it does not train.');

export const generationSchema = z
  .strictObject({
    prompts: z
      .array(z.string())
      .default([])
      .describe('Prompts to complete when the run ends (and at each evaluation).'),
    max_new_tokens: positiveInt.default(64).describe('How many tokens to write at most.'),
    do_sample: z
      .boolean()
      .default(false)
      .describe('Draw tokens at random (true) or always take the likeliest (false).'),
    temperature: z.number().positive().default(1).describe('Below 1 sharper, above 1 wilder. Used with do_sample.'),
    top_k: z
      .number()
      .int()
      .min(0)
      .default(50)
      .describe('Draw only from the k likeliest tokens; 0: from all. Used with do_sample.'),
    top_p: z
      .number()
      .gt(0)
      .max(1)
      .default(1)
      .describe('Draw only from the likeliest tokens that make up this share. Used with do_sample.'),
    num_beams: positiveInt.default(1).describe('Beams of the beam search; 1: none.'),
    length_penalty: z.number().default(1).describe('Exponent on the length by which a beam’s score is divided.'),
    early_stopping: z
      .boolean()
      .default(false)
      .describe('Beam search stops as soon as there are num_beams finished ones.'),
    no_repeat_ngram_size: z
      .number()
      .int()
      .min(0)
      .default(0)
      .describe('No n-gram of this size comes twice; 0: no such rule.'),
    repetition_penalty: z
      .number()
      .positive()
      .default(1)
      .describe('Above 1: makes tokens that came already less likely.'),
    stop_strings: z.array(z.string().min(1)).default([]).describe('Stop as soon as the text holds one of these.'),
    seed: z.number().int().min(0).default(42).describe('Seed of the draws.'),
  })
  .describe('How text is generated.');

export const recipeSchema = z
  .strictObject({
    $schema: z.string().optional(),
    model: z
      .string()
      .min(1)
      .describe(
        'The base model: a folder in Hugging Face’s format, or a hub name such as "roneneldan/TinyStories-33M". An adapter stands for its base with it.',
      ),
    revision: z.string().optional().describe('Branch, tag or commit of a hub model.'),
    method: z
      .enum(['full', 'lora', 'qlora', 'ia3', 'prompt_tuning', 'p_tuning', 'prefix_tuning'])
      .default('full')
      .describe(
        'How to train: `full` changes every weight, `lora` a small adapter beside them, `qlora` an adapter beside weights of 4 bits, `ia3` factors for what goes into some matrices and comes out of others, `prompt_tuning`, `p_tuning` and `prefix_tuning` virtual tokens in front of every text.',
      ),
    lora: loraSchema.default(() => loraSchema.parse({})),
    ia3: ia3Schema.default(() => ia3Schema.parse({})),
    prompt_tuning: promptTuningSchema.default(() => promptTuningSchema.parse({})),
    p_tuning: pTuningSchema.default(() => pTuningSchema.parse({})),
    prefix_tuning: prefixTuningSchema.default(() => prefixTuningSchema.parse({})),
    quantization: quantizationSchema.default(() => quantizationSchema.parse({})),
    dataset: z.union([z.string().min(1), datasetSchema]).describe('The data: a file, or an object with more to say.'),
    device: z
      .string()
      .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'must be "auto", "cpu", "cuda" or "cuda:N"')
      .default('auto')
      .describe('Where to compute: `auto` takes a GPU where one works; `cuda:N` fails where it does not.'),

    max_length: positiveInt.default(512).describe('Longest sample in tokens; the rest is cut off.'),
    pad_to: z
      .enum(['bucket', 'longest', 'max_length'])
      .default('bucket')
      .describe('Length of a batch: the next of a few lengths (fast), its longest sample, or always max_length.'),
    group_by_length: z
      .boolean()
      .default(false)
      .describe('Put samples of like length into one batch: less padding, faster.'),

    learning_rate: z.number().positive().default(5e-5).describe('Peak learning rate.'),
    num_train_epochs: z
      .number()
      .positive()
      .default(3)
      .describe('Passes over the data. Not used where max_steps is set.'),
    max_steps: z.number().int().default(-1).describe('Optimizer steps to make; −1: as num_train_epochs says.'),
    per_device_train_batch_size: positiveInt.default(8).describe('Samples in a batch.'),
    per_device_eval_batch_size: positiveInt.default(8).describe('Samples in an evaluation batch.'),
    gradient_accumulation_steps: positiveInt.default(1).describe('Batches whose gradients are added up for one step.'),
    world_size: positiveInt
      .default(1)
      .describe(
        'How many processes train together, each on a GPU of its own (or on some of the cores): a step takes this many times per_device_train_batch_size × gradient_accumulation_steps samples. They are started by MPI (mpirun).',
      ),
    hostfile: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File that names the machines for world_size processes, one a line, as mpirun takes it. Default: this machine.',
      ),
    zero_stage: z
      .union([z.literal(0), z.literal(1), z.literal(2)])
      .default(1)
      .describe(
        'With world_size above 1: 0 keeps the optimizer’s moments whole in every process, 1 spreads them over the processes, 2 the gradients as well (ZeRO).',
      ),
    gradient_checkpointing: z
      .boolean()
      .default(false)
      .describe(
        'Keep little of each layer for the backward pass and compute the rest again: less memory, slower steps.',
      ),
    offload_optimizer: z
      .boolean()
      .default(false)
      .describe(
        'On a GPU: keep the optimizer’s moments in the host’s memory and update the weights there. Spares 8 bytes a weight with AdamW, and costs time at each step.',
      ),
    offload_param: z
      .boolean()
      .default(false)
      .describe(
        'On a GPU: keep weights and gradients in the host’s memory too, and bring one layer at a time to the GPU. For models that exceed it; every step takes the weights across twice.',
      ),
    bf16: z
      .boolean()
      .default(false)
      .describe(
        'Compute products in bfloat16: half the memory for activations and, on a GPU that has it (Ampere and later), several times faster. Weights and moments stay float32.',
      ),
    fp16: z
      .boolean()
      .default(false)
      .describe(
        'The same in float16, for older GPUs (T4, V100), with dynamic loss scaling: steps whose gradients overflow are skipped and counted.',
      ),
    tf32: z
      .boolean()
      .default(false)
      .describe('On a GPU: float32 products round their operands to TensorFloat-32, which is several times faster.'),
    cuda_graphs: z
      .boolean()
      .default(false)
      .describe(
        'On a GPU: record what a step launches there once, and launch it as one from then on (CUDA graphs). For small models, whose steps are short; not with world_size above 1.',
      ),
    lr_scheduler_type: z
      .enum(['linear', 'cosine', 'constant', 'constant_with_warmup'])
      .default('linear')
      .describe('How the learning rate goes on after warmup.'),
    warmup_steps: z.number().int().min(0).default(0).describe('Steps in which the learning rate rises from 0.'),
    warmup_ratio: fraction.default(0).describe('The same as a share of all steps; used where warmup_steps is 0.'),
    weight_decay: z
      .number()
      .min(0)
      .default(0)
      .describe(
        'Weight decay; biases and norm weights are left out. Decoupled in adamw and adafactor, added to the gradient (L2) in adam, sgd and adagrad, as in torch.',
      ),
    max_grad_norm: z.number().min(0).default(1).describe('Clip the gradient to this global norm; 0: do not.'),
    optim: z.enum(['adamw', 'adam', 'sgd', 'adagrad', 'adafactor']).default('adamw').describe('The optimizer.'),
    adam_beta1: z.number().min(0).lt(1).default(0.9),
    adam_beta2: z.number().min(0).lt(1).default(0.999),
    adam_epsilon: z.number().positive().default(1e-8),
    sgd_momentum: z.number().min(0).lt(1).default(0).describe('Momentum of `sgd`.'),
    seed: z.number().int().min(0).default(42).describe('Seed of the split, the order, and dropout.'),

    logging_steps: positiveInt.default(10).describe('Write a log event every so many steps.'),
    eval_strategy: z.enum(['no', 'steps', 'epoch']).default('epoch').describe('When to evaluate.'),
    eval_steps: positiveInt.optional().describe('Evaluate every so many steps (default: logging_steps).'),
    save_strategy: z.enum(['no', 'steps', 'epoch']).default('epoch').describe('When to save a checkpoint.'),
    save_steps: positiveInt.default(500).describe('Save a checkpoint every so many steps.'),
    save_total_limit: positiveInt
      .optional()
      .describe('Keep at most so many checkpoints; the best and the last are never deleted.'),
    load_best_model_at_end: z
      .boolean()
      .default(false)
      .describe('The final model is the best checkpoint’s, not the last’s.'),
    metric_for_best_model: z.enum(['eval_loss', 'eval_perplexity', 'eval_accuracy']).default('eval_loss'),
    early_stopping_patience: positiveInt.optional().describe('Stop after so many evaluations without a better metric.'),
    early_stopping_threshold: z.number().min(0).default(0).describe('What counts as better.'),
    resume_from_checkpoint: z
      .union([z.boolean(), z.string()])
      .default(false)
      .describe('Go on from a checkpoint: true for the last of the run, or a folder.'),

    generation: generationSchema.default(() => generationSchema.parse({})),
  })
  .refine(({ bf16, fp16 }) => !(bf16 && fp16), { path: ['fp16'], error: 'must be false where "bf16" is true' })
  .refine(({ offload_param, zero_stage }) => !(offload_param && zero_stage === 2), {
    path: ['zero_stage'],
    error: 'must be 0 or 1 where "offload_param" is true',
  })
  .refine(({ offload_param, method }) => !(offload_param && method === 'qlora'), {
    path: ['offload_param'],
    error: 'must be false where "method" is "qlora"',
  })
  .refine(({ lora, method }) => !(lora.use_dora && method === 'qlora'), {
    path: ['lora', 'use_dora'],
    error: 'must be false where "method" is "qlora"',
  })
  .refine(({ cuda_graphs, world_size }) => !(cuda_graphs && world_size > 1), {
    path: ['cuda_graphs'],
    error: 'must be false where "world_size" is above 1',
  })
  .describe('A Tuneyard run.');

export type DatasetRecipe = z.infer<typeof datasetSchema>;
export type RowFilter = z.infer<typeof filterSchema>;
export type GenerationRecipe = z.infer<typeof generationSchema>;
export type PromptTuningRecipe = z.infer<typeof promptTuningSchema>;
export type LoraRecipe = z.infer<typeof loraSchema>;
/** A recipe with every default filled in. */
export type Recipe = z.infer<typeof recipeSchema>;
