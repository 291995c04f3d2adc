/** A recipe with good defaults for given data and a given model, with comments that say why. Pure. */
import * as l10n from '@vscode/l10n';

/** What is known of the data. */
export interface DataFacts {
  /** Samples to train on, the held out ones included. */
  rows: number;
  columns: readonly string[];
  /** How a row becomes text, where the runner would not know by itself. */
  template?: string;
  targetColumn?: string;
  /** Tokens a sample; words where there was no tokenizer to count with. */
  unit: 'tokens' | 'words';
  /** Tokens a word, guessed from the script; 1 where tokens were counted. */
  tokensPerUnit: number;
  median: number;
  p95: number;
  max: number;
  /** Share of what is learned. */
  supervisedShare: number;
  /** Of a few samples, what the model is given. */
  prompts: readonly string[];
}

export interface ModelFacts {
  /** As the recipe shall name it. */
  name: string;
  /** The longest text it can take. */
  maxPositions?: number;
  parameters?: number;
}

export interface ProposalInput {
  /** As the recipe shall name the file. */
  dataset: string;
  data: DataFacts;
  model: ModelFacts;
  method: string;
}

/** What nearly every model takes, where its limit is not known. */
const USUAL_POSITIONS = 1024;
/** Tokens in a batch: enough to keep a CPU or a small GPU busy, few enough to fit. */
const BATCH_TOKENS = 2048;
const LONGEST_PROMPT = 300;

type Entry = { key: string; value: unknown; comment?: string; gap?: boolean };

/** @returns the text of a `*.tune.json` */
export function proposeRecipe({ dataset, data, model, method }: ProposalInput): string {
  const scale = data.tokensPerUnit;
  const longest = Math.ceil(data.max * scale);
  const p95 = Math.ceil(data.p95 * scale);
  const held = heldOut(data.rows);
  const train = data.rows - Math.round(data.rows * held);

  const room = model.maxPositions ?? USUAL_POSITIONS;
  const fits = longest <= room;
  // One long sample must not make every batch longer: the last twentieth is cut where it is far longer than the rest.
  const isEven = longest <= 2 * p95;
  const wanted = isEven ? longest : p95;
  const maxLength = Math.min(room, roundUp(wanted, wanted > 256 ? 64 : 16));

  const batch = batchSize(maxLength, train);
  const perEpoch = Math.max(1, Math.ceil(train / batch));
  const epochs = epochsFor(data.rows);
  const steps = perEpoch * epochs;
  const evaluation = evaluationFor({ held, perEpoch, epochs });
  const hasAdapter = method !== 'full';

  const entries: Entry[] = [
    { key: 'model', value: model.name },
    {
      key: 'dataset',
      value: datasetValue(dataset, data, held),
      comment: datasetComment(data),
    },
    { key: 'method', value: method },
    ...(hasAdapter ? [LORA()] : []),
    {
      key: 'max_length',
      value: maxLength,
      comment: lengthComment({ data, longest, p95, maxLength, fits }),
    },
    {
      key: 'num_train_epochs',
      value: epochs,
      gap: true,
      comment: l10n.t('{0} samples: {1} passes are {2} steps.', data.rows, epochs, steps),
    },
    {
      key: 'per_device_train_batch_size',
      value: batch,
      comment: l10n.t('Up to {0} tokens in a batch. Halve it if memory runs out.', batch * maxLength),
    },
    {
      key: 'learning_rate',
      value: new Literal(hasAdapter ? LORA_RATE : learningRate(model.parameters)),
      comment: hasAdapter ? loraRateComment() : rateComment(model.parameters),
    },
    { key: 'lr_scheduler_type', value: 'cosine' },
    { key: 'warmup_ratio', value: 0.05 },
    ...(data.p95 > 1.5 * data.median
      ? [
          {
            key: 'group_by_length',
            value: true,
            comment: l10n.t('The samples differ much in length: alike ones together make less padding.'),
          },
        ]
      : []),
    { key: 'logging_steps', value: clamp(Math.round(steps / 100), 1, 20), gap: true },
    ...evaluation,
    { key: 'save_total_limit', value: 2 },
    {
      key: 'generation',
      gap: true,
      comment: l10n.t(
        'Completed at each evaluation, to see what the model has learned. Add prompts that the data does not know.',
      ),
      value: {
        prompts: data.prompts.slice(0, 3).map((prompt) => shorten(prompt)),
        max_new_tokens: clamp(roundUp(Math.ceil(data.median * scale * data.supervisedShare), 16), 16, 128),
        do_sample: true,
        temperature: 0.8,
      },
    },
  ];
  const heading = l10n.t('Proposed from the data. Hover over a key to see what it does; change what you like.');
  return write(heading, entries);
}

/** How a row becomes text, from the names of its columns; undefined where they say nothing. */
export function proposeTemplate(columns: readonly string[]): { template: string; targetColumn?: string } | undefined {
  const find = (...names: string[]) =>
    names.map((name) => columns.find((column) => column.toLowerCase() === name)).find((column) => column !== undefined);
  const answer = find(
    'target',
    'output',
    'completion',
    'response',
    'answer',
    'chosen',
    'label',
    'summary',
    'translation',
  );
  const question = find('instruction', 'prompt', 'question', 'query', 'input', 'source', 'text', 'document', 'article');
  if (answer !== undefined && question !== undefined) {
    const extra = question.toLowerCase() === 'instruction' ? find('input', 'context') : undefined;
    const prompt = extra === undefined ? `{${question}}` : `{${question}}\n{${extra}}`;
    return { template: `${prompt}\n{${answer}}`, targetColumn: answer };
  }
  const whole =
    find('text', 'content', 'body', 'sentence', 'story', 'poem', 'paragraph', 'review', 'message') ??
    answer ??
    question;
  const only = whole ?? (columns.length === 1 ? columns[0] : undefined);
  return only === undefined ? undefined : { template: `{${only}}` };
}

/** Share held out. Of very few samples none can be spared, of very many a small share says enough. */
function heldOut(rows: number): number {
  if (rows < 20) return 0;
  if (rows < 100) return 0.2;
  return rows <= 20_000 ? 0.1 : Math.max(0.01, Number((2000 / rows).toPrecision(1)));
}

function epochsFor(rows: number): number {
  if (rows < 200) return 10;
  if (rows < 2000) return 5;
  if (rows < 20_000) return 3;
  return rows < 100_000 ? 2 : 1;
}

function batchSize(maxLength: number, train: number): number {
  let batch = clamp(2 ** Math.floor(Math.log2(BATCH_TOKENS / maxLength)), 1, 16);
  // An epoch of a handful of steps hardly learns.
  while (batch > 1 && train / batch < 10) batch /= 2;
  return batch;
}

/** Small models stand, and need, larger steps. */
function learningRate(parameters: number | undefined): string {
  if (parameters === undefined) return '5e-5';
  if (parameters < 10e6) return '1e-3';
  if (parameters < 60e6) return '2e-4';
  return parameters < 500e6 ? '5e-5' : '2e-5';
}

function rateComment(parameters: number | undefined): string {
  return parameters === undefined
    ? l10n.t('The usual rate for changing every weight. Lower it if the loss jumps, raise it if it hardly falls.')
    : l10n.t('For {0} million weights. Lower it if the loss jumps, raise it if it hardly falls.', millions(parameters));
}

/** Adapters begin at nothing and take larger steps than weights do. */
const LORA_RATE = '2e-4';
const loraRateComment = () =>
  l10n.t('The usual rate for adapters. Lower it if the loss jumps, raise it if it hardly falls.');

const LORA = (): Entry => ({
  key: 'lora',
  value: { r: 16, lora_alpha: 32, lora_dropout: 0.05, target_modules: 'all-linear' },
  comment: l10n.t('An adapter beside every matrix. A larger "r" learns more and takes more memory.'),
});

function millions(parameters: number): string {
  const value = parameters / 1e6;
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

/** About once a pass; of a single long pass four times. */
function evaluationFor({ held, perEpoch, epochs }: { held: number; perEpoch: number; epochs: number }): Entry[] {
  if (held === 0) {
    return [
      {
        key: 'eval_strategy',
        value: 'no',
        comment: l10n.t('Too few samples to hold some out: nothing tells learning from memorising.'),
      },
      { key: 'save_strategy', value: 'epoch' },
    ];
  }
  const best: Entry = {
    key: 'load_best_model_at_end',
    value: true,
    comment: l10n.t('What the run ends with is the checkpoint that did best on the samples held out.'),
  };
  if (epochs > 2 && perEpoch <= 1000) {
    return [{ key: 'eval_strategy', value: 'epoch' }, { key: 'save_strategy', value: 'epoch' }, best];
  }
  const every = Math.max(1, Math.round(perEpoch / 4));
  return [
    {
      key: 'eval_strategy',
      value: 'steps',
      comment: l10n.t('A pass is long: four looks at the samples held out in each.'),
    },
    { key: 'eval_steps', value: every },
    { key: 'save_strategy', value: 'steps' },
    { key: 'save_steps', value: every },
    best,
  ];
}

function datasetValue(path: string, data: DataFacts, held: number): unknown {
  const value = {
    path,
    ...(data.template === undefined ? {} : { template: data.template }),
    ...(data.targetColumn === undefined || data.template === undefined ? {} : { target_column: data.targetColumn }),
    ...(held === 0.1 ? {} : { test_size: held }),
  };
  return Object.keys(value).length === 1 ? path : value;
}

function datasetComment(data: DataFacts): string {
  const columns = data.columns.map((column) => `"${column}"`).join(', ');
  return data.targetColumn === undefined
    ? l10n.t('{0} samples with the columns {1}. The model learns each as a whole.', data.rows, columns)
    : l10n.t(
        '{0} samples with the columns {1}. The model learns to write "{2}".',
        data.rows,
        columns,
        data.targetColumn,
      );
}

function lengthComment(known: {
  data: DataFacts;
  longest: number;
  p95: number;
  maxLength: number;
  fits: boolean;
}): string {
  const { data, longest, p95, maxLength, fits } = known;
  const about =
    data.unit === 'words' ? l10n.t('about {0} tokens, guessed from its words', longest) : l10n.t('{0} tokens', longest);
  if (longest <= maxLength) return l10n.t('The longest sample has {0}.', about);
  if (p95 > maxLength && !fits)
    return l10n.t('The longest sample has {0}, more than the model takes: the rest is cut off.', about);
  return l10n.t('95% of the samples fit. The longest has {0}; its rest is cut off.', about);
}

/** A number as it shall be written: 5e-5, not 0.00005. */
class Literal {
  constructor(readonly text: string) {}
}

function write(heading: string, entries: readonly Entry[]): string {
  const lines = [`// ${heading}`, '{'];
  for (const [i, { key, value, comment, gap }] of entries.entries()) {
    if (gap) lines.push('');
    // A column's name may hold anything, also the end of a line.
    if (comment) lines.push(`  // ${comment.replaceAll(/[\s\p{Cc}]+/gu, ' ')}`);
    const text = value instanceof Literal ? value.text : JSON.stringify(value, undefined, 2).replaceAll('\n', '\n  ');
    lines.push(`  ${JSON.stringify(key)}: ${text}${i === entries.length - 1 ? '' : ','}`);
  }
  return `${[...lines, '}'].join('\n')}\n`;
}

/** At a word's end. */
function shorten(prompt: string): string {
  if (prompt.length <= LONGEST_PROMPT) return prompt;
  const cut = prompt.slice(0, LONGEST_PROMPT);
  return cut.slice(0, Math.max(cut.lastIndexOf(' '), LONGEST_PROMPT / 2)).trimEnd();
}

function roundUp(value: number, unit: number): number {
  return Math.max(unit, Math.ceil(value / unit) * unit);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
