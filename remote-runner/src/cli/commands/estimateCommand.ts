import { Command } from 'commander';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { listenForInterrupts } from '../interrupts';
import { estimateTable } from '../render/estimateTable';

interface EstimateOptions extends SharedOptions {
  measure?: boolean;
  runDir?: string;
}

export function estimateCommand(context: CliContext): Command {
  const command = new Command('estimate')
    .description('tell how much memory and disk a recipe needs')
    .argument('<recipe>', 'recipe file (*.tune.json)')
    .option('--measure', 'also make one real step, and tell what it took')
    .option('--run-dir <dir>', 'where the run would lie (default: ~/.tuneyard/runs)')
    .action((recipe: string, options: EstimateOptions) => estimate(context, recipe, options));
  return withSharedOptions(command);
}

async function estimate(context: CliContext, recipe: string, options: EstimateOptions): Promise<void> {
  const output = openOutput(context, options);
  const { loadRecipe } = await import('../../recipe/loadRecipe');
  const loaded = await loadRecipe(recipe, options.set);
  const { runsFolder } = await import('../../runs/runDir');
  const { estimateJob } = await import('../../jobs/estimateJob');
  const interrupts = listenForInterrupts();
  try {
    output.status(options.measure ? 'Making one step …' : 'Counting …');
    const result = await estimateJob({
      ...loaded,
      measure: options.measure === true,
      runDir: options.runDir ?? runsFolder(),
      signal: interrupts.signal,
    });
    output.status('');
    output.data(result);
    output.print(estimateTable(result, output.colors));
  } finally {
    interrupts.dispose();
  }
}
