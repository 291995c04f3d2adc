/** What every command is given. */
import { type Command, Option } from 'commander';
import { Output, type OutputOptions } from './output';
import type { Streams } from './streams';

export interface CliContext {
  readonly streams: Streams;
  /** What the process exits with where nothing is thrown. */
  exitStatus: number;
  /** The running command's output, for whoever reports its failure. */
  output?: Output;
}

/** A command and its options, ready to be added to the program. */
export type CommandMaker = (context: CliContext) => Command;

/** Options that every command takes. */
export interface SharedOptions extends OutputOptions {
  set: string[];
}

/** Adds `--set` and `--json`. */
export function withSharedOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--set <key=value>', 'a recipe key, such as generation.temperature=0.8 (repeatable)')
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--json', 'one JSON object a line on standard output');
}

/** For options that may be given several times. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

export function openOutput(context: CliContext, options: OutputOptions): Output {
  context.output = new Output(context.streams, options);
  return context.output;
}
