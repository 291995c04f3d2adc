import { resolve } from 'node:path';
import { isHubPath } from '@protocol/hubPath';
import { Command } from 'commander';
import type { PreviewOptions } from '../../data/preview';
import type { LoadedRecipe } from '../../jobs/requests';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { listenForInterrupts } from '../interrupts';
import { modelArgument } from '../modelArgument';
import type { Output } from '../output';
import { previewText } from '../render/previewText';

interface PreviewCommandOptions extends SharedOptions {
  model?: string;
  recipe?: string;
}

export function previewCommand(context: CliContext): Command {
  const command = new Command('preview')
    .description('show a dataset as training would see it')
    .argument('<dataset>', 'JSON, JSONL, CSV, TSV, TXT or Parquet file')
    .option('--model <model>', 'whose tokenizer to count with (default: the recipe’s; without both, words are counted)')
    .option('--recipe <file>', 'recipe with the template, the split and max_length')
    .action((dataset: string, options: PreviewCommandOptions) => preview(context, dataset, options));
  return withSharedOptions(command);
}

async function preview(context: CliContext, file: string, options: PreviewCommandOptions): Promise<void> {
  const output = openOutput(context, options);
  const loaded = await previewRecipe(file, options);
  const model =
    options.model === undefined
      ? options.recipe === undefined
        ? undefined
        : loaded.recipe.model
      : modelArgument(options.model);
  const { previewDataset } = await import('../../data/preview');
  const interrupts = listenForInterrupts();
  try {
    const { signal } = interrupts;
    const counting = await countWith(model, loaded, output, signal);
    output.status('Reading the data …');
    const seen = await previewDataset(loaded.recipe.dataset, {
      ...counting,
      seed: loaded.recipe.seed,
      baseDir: process.cwd(),
      signal,
    });
    output.status('');
    output.data(seen);
    output.print(previewText(seen, { words: model === undefined, colors: output.colors, columns: output.columns }));
  } finally {
    interrupts.dispose();
  }
}

/** The recipe, with this file as its data. */
async function previewRecipe(file: string, { recipe, set }: PreviewCommandOptions): Promise<LoadedRecipe> {
  const { loadRecipe, recipeFromSettings } = await import('../../recipe/loadRecipe');
  if (recipe === undefined) return recipeFromSettings({ model: 'none', dataset: file }, set, process.cwd());
  const loaded = await loadRecipe(recipe, set);
  const { dataset } = loaded.recipe;
  const path = isHubPath(file) ? file : resolve(file);
  return {
    ...loaded,
    recipe: { ...loaded.recipe, dataset: typeof dataset === 'string' ? path : { ...dataset, path } },
  };
}

async function countWith(
  model: string | undefined,
  { recipe, baseDir }: LoadedRecipe,
  output: Output,
  signal: AbortSignal,
): Promise<Pick<PreviewOptions, 'tokenizer' | 'maxLength'>> {
  if (model === undefined) {
    const { wordTokenizer } = await import('../wordTokenizer');
    // Nobody knows how many tokens a word will be: nothing is cut.
    return { tokenizer: wordTokenizer(), maxLength: Number.MAX_SAFE_INTEGER };
  }
  const { resolveModel } = await import('../../hub/download');
  const { readSessionModel } = await import('../../data/session/sessionModel');
  const dir = await resolveModel(model, {
    baseDir,
    revision: recipe.revision,
    signal,
    // A look needs no weights.
    tokenizerOnly: true,
    onProgress: ({ file: name }) => output.status(`Downloading ${name} …`),
    onWarning: (message) => output.message(`Warning: ${message}`),
  });
  const { tokenizer, maxPositions = recipe.max_length } = await readSessionModel(dir);
  return { tokenizer, maxLength: Math.min(recipe.max_length, maxPositions) };
}
