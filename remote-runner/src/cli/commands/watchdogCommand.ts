import { Command } from 'commander';
import type { CliContext } from '../context';

/** For `--help` alone: bin/tuneyard.mjs starts dist/watchdog.mjs in place of the whole runner. */
export function watchdogCommand(_: CliContext): Command {
  return new Command('watchdog')
    .description('end this cloud VM when it is idle and its results are safe; started at boot')
    .action(async () => {
      const { main } = await import('../../watchdog/main');
      await main();
    });
}
