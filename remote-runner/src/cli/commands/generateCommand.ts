import { TuneyardError } from '@protocol/errors';
import { Command } from 'commander';
import { type CliContext, collect, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { formatDuration, printable } from '../format';
import { listenForInterrupts } from '../interrupts';
import { modelArgument } from '../modelArgument';
import { recipeArgument, settingsAlone } from '../recipeArgument';

interface GenerateOptions extends SharedOptions {
  prompt: string[];
  recipe?: string;
}

export function generateCommand(context: CliContext): Command {
  const command = new Command('generate')
    .description('let a model go on from prompts')
    .argument('<model>', 'model folder, hub name, checkpoint, or run')
    .option('--prompt <text>', 'what to go on from (repeatable; default: the recipe’s prompts)', collect, [])
    .option('--recipe <file>', 'recipe whose generation settings to use (default: the run’s own)')
    .action((model: string, options: GenerateOptions) => generate(context, model, options));
  return withSharedOptions(command);
}

async function generate(context: CliContext, model: string, options: GenerateOptions): Promise<void> {
  const output = openOutput(context, options);
  const { recipe } =
    (await recipeArgument(options.recipe, [model], options.set)) ?? (await settingsAlone(model, options.set));
  const prompts = options.prompt.length > 0 ? options.prompt : recipe.generation.prompts;
  if (prompts.length === 0) throw new TuneyardError('usage', 'there is nothing to go on from; give a --prompt.');

  const { generateJob } = await import('../../jobs/generateJob');
  const interrupts = listenForInterrupts();
  // One text may be watched as it grows; several grow at a time.
  const streaming = output.isTerminal && prompts.length === 1;
  let streamed = false;
  try {
    output.status('Loading the model …');
    const results = await generateJob({
      model: modelArgument(model),
      baseDir: process.cwd(),
      prompts,
      generation: recipe.generation,
      device: recipe.device,
      signal: interrupts.signal,
      onStage: (stage) => output.status(`${stage} …`),
      onWarning: (message) => output.message(`${output.colors.yellow('Warning:')} ${message}`),
      onText: (_, text) => {
        if (!streaming) return;
        if (!streamed) output.inline(output.colors.dim(printable(prompts[0]!)));
        streamed = true;
        output.inline(printable(text));
      },
    });
    output.status('');
    for (const result of results) {
      output.data(result);
      output.print(streamed ? '' : `${output.colors.dim(printable(result.prompt))}${printable(result.text)}`);
      output.print(output.colors.dim(`— ${result.weights}, ${formatDuration(result.seconds)}\n`));
    }
  } finally {
    interrupts.dispose();
  }
}
