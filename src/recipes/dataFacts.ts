/** What a recipe is proposed from, found out by the runner's `preview` on this machine. */
import { TuneyardError } from '@protocol/errors';
import type { DatasetPreview, PreviewSample } from '@protocol/preview';
import type { DataToTune } from './dataToTune';
import { type DataFacts, proposeTemplate } from './proposeRecipe';

/** Lengths are asked for uncut. */
const NO_LIMIT = 'max_length=1000000';
const WORDS_OF_A_BEGINNING = 6;

export interface SeenData {
  preview: DatasetPreview;
  unit: DataFacts['unit'];
  /** What had to be said for rows to become texts. */
  template?: string;
}

/**
 * Looks at data without a recipe. Columns that the runner cannot make a text of by itself are guessed from their names.
 * @param model a folder or a hub name, whose tokenizer counts where it is on this machine
 * @throws TuneyardError what the runner says of data that cannot be read; `cancelled`
 */
async function lookAtData(
  { look, path, isHub }: Pick<DataToTune, 'look' | 'path' | 'isHub'>,
  { model, settings = [], signal }: { model?: string | undefined; settings?: readonly string[]; signal?: AbortSignal },
): Promise<SeenData> {
  let template: ReturnType<typeof proposeTemplate>;
  let counter = model;
  for (;;) {
    const set = [...settings];
    if (template) set.push(`dataset.template=${JSON.stringify(template.template)}`);
    if (template?.targetColumn) set.push(`dataset.target_column=${JSON.stringify(template.targetColumn)}`);
    const argv = ['preview', path, ...set.flatMap((setting) => ['--set', setting])];
    if (counter !== undefined) argv.push('--model', counter);
    try {
      // No model is downloaded for a look, and no data but what is asked for.
      const preview = await look.run<DatasetPreview>(argv, { offline: !isHub, ...(signal ? { signal } : {}) });
      const unit = counter === undefined ? 'words' : 'tokens';
      return { preview, unit, ...(template ? { template: template.template } : {}) };
    } catch (error) {
      if (!(error instanceof TuneyardError)) throw error;
      const columns = error.code === 'column_missing' && !template ? columnsOf(error) : undefined;
      template ??= columns && proposeTemplate(columns);
      if (columns && template) continue;
      if (counter === undefined || !isAboutModel(error)) throw error;
      counter = undefined;
    }
  }
}

/** @throws as {@link lookAtData} */
export async function gatherDataFacts(
  data: Pick<DataToTune, 'look' | 'path' | 'isHub'>,
  model: string | undefined,
  signal?: AbortSignal,
): Promise<DataFacts> {
  const seen = await lookAtData(data, { model, settings: [NO_LIMIT], ...(signal ? { signal } : {}) });
  return factsOf(seen);
}

function columnsOf({ data }: TuneyardError): string[] | undefined {
  return Array.isArray(data.columns) ? data.columns.map(String) : undefined;
}

function isAboutModel({ code }: TuneyardError): boolean {
  return /^(hub|model|weights|tokenizer)_/.test(code) || code === 'file_not_found';
}

function factsOf({ preview, template, unit }: SeenData): DataFacts {
  const { rows, columns, stats, samples, unusable, targetColumn } = preview;
  const { median, p95, max } = stats.lengths;
  return {
    rows: rows - unusable.count,
    columns,
    ...(template === undefined ? {} : { template }),
    ...(targetColumn === undefined ? {} : { targetColumn }),
    unit,
    tokensPerUnit: unit === 'tokens' ? 1 : tokensAWord(samples),
    median,
    p95,
    max,
    supervisedShare: stats.supervisedShare,
    prompts: samples.map((sample) => promptOf(sample, targetColumn !== undefined)),
  };
}

/** Byte-pair encoded, English takes some 1.4 tokens a word, and other scripts about one for every byte and a half. */
function tokensAWord(samples: readonly PreviewSample[]): number {
  let words = 0;
  let tokens = 0;
  for (const sample of samples) {
    const foreign = sample.text.replaceAll(/[ -~\s]/g, '');
    words += sample.tokens.length;
    tokens += 1.4 * sample.tokens.length + Buffer.byteLength(foreign) / 1.5;
  }
  return words === 0 ? 1.4 : tokens / words;
}

/** What stands before the learned part; of a text that is learned as a whole, its first words. */
function promptOf({ parts: [first], text }: PreviewSample, hasTarget: boolean): string {
  return hasTarget && first && !first.supervised ? first.text.trim() : beginning(text);
}

function beginning(text: string): string {
  let words = 0;
  for (const { index, segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: 'word' }).segment(text)) {
    if (isWordLike && ++words === WORDS_OF_A_BEGINNING) return text.slice(0, index + segment.length).trim();
  }
  return text.trim();
}
