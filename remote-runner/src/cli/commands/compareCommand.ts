import { existsSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import type { CompareReport } from '@protocol/compare';
import { TuneyardError } from '@protocol/errors';
import { Command } from 'commander';
import { holdsSamplesOut } from '../../data/heldOut';
import { type CliContext, collect, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { listenForInterrupts } from '../interrupts';
import { recipeArgument, settingsAlone } from '../recipeArgument';
import { compareMarkdown } from '../render/compareMarkdown';
import { compareTable } from '../render/compareTable';

interface CompareOptions extends SharedOptions {
  prompt: string[];
  recipe?: string;
  out?: string;
}

const PIECES_MS = 50;

/** How a report is saved, by the file's extension. */
const WRITERS: Record<string, (report: CompareReport) => string> = {
  '.json': (report) => `${JSON.stringify(report, null, 2)}\n`,
  '.md': compareMarkdown,
};

export function compareCommand(context: CliContext): Command {
  const command = new Command('compare')
    .description('put what models write from the same prompts side by side')
    .argument('<models...>', 'model folders, hub names, checkpoints, or runs')
    .option('--prompt <text>', 'what to go on from (repeatable; default: the recipe’s prompts)', collect, [])
    .option('--recipe <file>', 'recipe whose generation settings and held-out samples to use (default: the run’s own)')
    .option('--out <file>', 'save the comparison, as JSON (.json) or Markdown (.md)')
    .action((models: string[], options: CompareOptions) => compare(context, models, options));
  return withSharedOptions(command);
}

async function compare(context: CliContext, models: string[], options: CompareOptions): Promise<void> {
  const output = openOutput(context, options);
  const write = options.out === undefined ? undefined : WRITERS[extname(options.out).toLowerCase()];
  if (options.out !== undefined && !write) {
    throw new TuneyardError('usage', `--out ${options.out}: give it the extension .json or .md.`);
  }
  // Before models are at work for minutes.
  if (options.out !== undefined && !existsSync(dirname(options.out))) {
    throw new TuneyardError('file_not_found', 'the folder to save into does not exist; create it.', {
      place: { file: options.out },
    });
  }
  if (options.out !== undefined) {
    const { requireDiskSpace } = await import('../../hub/diskSpace');
    await requireDiskSpace(options.out, 0, 'the comparison');
  }
  const loaded = await recipeArgument(options.recipe, models, options.set);
  const { recipe } = loaded ?? (await settingsAlone(models[0]!, options.set));
  const prompts = options.prompt.length > 0 ? options.prompt : recipe.generation.prompts;

  const { compareJob } = await import('../../jobs/compareJob');
  const interrupts = listenForInterrupts();
  const texts = gatherPieces((prompt, model, text) => output.data({ type: 'text', prompt, model, text }));
  try {
    const report = await compareJob({
      models,
      baseDir: process.cwd(),
      prompts,
      generation: recipe.generation,
      device: recipe.device,
      // Without such samples there is no perplexity to tell, which is no fault of a comparison.
      ...(loaded && holdsSamplesOut(recipe.dataset) ? { recipe: loaded } : {}),
      signal: interrupts.signal,
      onProgress: (label, done, total) => {
        output.status(`Model ${done + 1} of ${total}: ${label} …`);
        output.data({ type: 'model', label, done, total });
      },
      onText: texts.add,
      onCell: (prompt, model, cell) => {
        texts.flush();
        output.data({ type: 'cell', prompt, model, cell });
      },
    });
    texts.flush();
    output.status('');
    output.data({ type: 'report', ...report });
    output.print(compareTable(report, output.columns, output.colors));
    for (const warning of report.warnings) output.message(`${output.colors.yellow('Warning:')} ${warning}`);
    if (options.out !== undefined && write) {
      const { replaceFile } = await import('../../hub/durableFile');
      await replaceFile(options.out, [new TextEncoder().encode(write(report))]);
      output.print(`Saved as ${options.out}`);
    }
  } finally {
    interrupts.dispose();
  }
}

/** Pieces of texts come token by token; they are passed on some twenty times a second. */
function gatherPieces(send: (prompt: number, model: number, text: string) => void) {
  const pieces = new Map<string, { prompt: number; model: number; text: string }>();
  let last = 0;
  const flush = () => {
    for (const { prompt, model, text } of pieces.values()) send(prompt, model, text);
    pieces.clear();
    last = performance.now();
  };
  const add = (prompt: number, model: number, piece: string) => {
    const key = `${prompt}/${model}`;
    pieces.set(key, { prompt, model, text: (pieces.get(key)?.text ?? '') + piece });
    if (performance.now() - last >= PIECES_MS) flush();
  };
  return { add, flush };
}
