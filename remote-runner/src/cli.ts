/** The command line of the runner: `tuneyard COMMAND`. Whatever is heavy is loaded by the command that needs it. */
import { isMainThread, workerData } from 'node:worker_threads';
import { TuneyardError } from '@protocol/errors';
import { Command, CommanderError } from 'commander';
import { asTuneyardError } from './cli/asTuneyardError';
import { commandMakers } from './cli/commands/index';
import { rankCommand } from './cli/commands/rankCommand';
import type { CliContext } from './cli/context';
import { Output } from './cli/output';
import type { Streams } from './cli/streams';
import { DATA_THREAD } from './data/workers/workerMessages';
import { version } from './version';

// One bundle for both: most of what a thread for data needs is in the command line, too.
if (!isMainThread && workerData === DATA_THREAD) await import('./data/workers/dataWorker');

/**
 * @param argv what follows the program's name
 * @returns the exit status: 0 done, 1 failed, 2 bad input
 */
export async function main(argv: string[], streams: Streams = process): Promise<number> {
  // A reader that goes away (`| head`, a dead terminal) ends neither the run nor, with an ugly trace, the program.
  const ignore = () => {};
  streams.stdout.on('error', ignore);
  streams.stderr.on('error', ignore);
  const context: CliContext = { streams, exitStatus: 0 };
  try {
    await createProgram(context).parseAsync(argv, { from: 'user' });
    return context.exitStatus;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return reportFailure(error instanceof CommanderError ? usageError(error) : error, context, argv);
  }
}

function createProgram(context: CliContext): Command {
  const { stdout } = context.streams;
  const program = new Command('tuneyard')
    .description('Fine-tunes language models, without Python.')
    .version(version(), '-v, --version', 'show the version')
    .helpCommand('help [command]', 'show how a command is used');
  for (const make of commandMakers) program.addCommand(make(context));
  program.addCommand(rankCommand(context), { hidden: true });
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .helpOption('-h, --help', 'show this')
      .configureOutput({
        writeOut: (text) => stdout.write(text),
        // Errors are thrown as well, and told by main.
        writeErr: () => {},
        getOutHelpWidth: () => stdout.columns ?? 100,
      });
  }
  return program;
}

function reportFailure(error: unknown, context: CliContext, argv: readonly string[]): number {
  const known = asTuneyardError(error);
  // An unknown option or command is found before the command could open its output.
  const output = context.output ?? new Output(context.streams, { json: argv.includes('--json') });
  output.status('');
  output.data({ type: 'error', ...known.toJSON() });
  output.message(known.message);
  if (process.env.TUNEYARD_DEBUG && error instanceof Error) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) output.message(cause.stack ?? '');
  }
  return known.exitStatus;
}

/** Commander's own words, with its guess at what was meant. */
function usageError({ code, message }: CommanderError): TuneyardError {
  if (code === 'commander.help') return new TuneyardError('usage', 'which command? "tuneyard --help" lists them.');
  const text = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
  return new TuneyardError('usage', `${text}${/[.)?]$/.test(text) ? '' : '.'} "tuneyard --help" shows what there is.`);
}
