import { TuneyardError } from '@protocol/errors';
import { Command } from 'commander';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { formatDuration, formatLoss, formatShare } from '../format';
import { listenForInterrupts } from '../interrupts';
import { modelArgument } from '../modelArgument';
import { recipeArgument } from '../recipeArgument';

interface EvalOptions extends SharedOptions {
  recipe?: string;
}

export function evalCommand(context: CliContext): Command {
  const command = new Command('eval')
    .description('tell a model’s loss on the samples that a recipe holds out')
    .argument('[model]', 'model folder, hub name, checkpoint, or run (default: the recipe’s model)')
    .option('--recipe <file>', 'recipe whose data to use (default: the run’s own)')
    .action((model: string | undefined, options: EvalOptions) => evaluate(context, model, options));
  return withSharedOptions(command);
}

async function evaluate(context: CliContext, model: string | undefined, options: EvalOptions): Promise<void> {
  const output = openOutput(context, options);
  const loaded = await recipeArgument(options.recipe, model === undefined ? [] : [model], options.set);
  if (!loaded) throw new TuneyardError('usage', 'which data? Name a recipe with --recipe.');
  const { evalJob } = await import('../../jobs/evalJob');
  const interrupts = listenForInterrupts();
  try {
    output.status('Evaluating …');
    const { signal } = interrupts;
    const result = await evalJob({
      ...loaded,
      ...(model === undefined ? {} : { model: modelArgument(model) }),
      signal,
    });
    output.status('');
    output.data(result);
    const { eval_loss, eval_perplexity, eval_accuracy, eval_samples, eval_tokens, eval_runtime } = result;
    output.print(`Model            ${result.model} (${result.weights})`);
    output.print(`Evaluation loss  ${formatLoss(eval_loss)} (perplexity ${eval_perplexity.toFixed(2)})`);
    output.print(`Accuracy         ${formatShare(eval_accuracy)} of the tokens to predict`);
    output.print(
      `Samples          ${eval_samples} with ${eval_tokens} tokens to predict, in ${formatDuration(eval_runtime)}`,
    );
  } finally {
    interrupts.dispose();
  }
}
