import { TuneyardError } from '@protocol/errors';
import { Command } from 'commander';
import { version } from '../../version';
import type { CliContext } from '../context';

export function serveCommand(_: CliContext): Command {
  return new Command('serve')
    .description('answer a program, such as the VS Code extension, until it hangs up')
    .option('--stdio', 'over standard input and output (JSON-RPC 2.0)')
    .action(async ({ stdio }: { stdio?: boolean }) => {
      if (!stdio) throw new TuneyardError('usage', 'over what? There is --stdio.');
      const { serve } = await import('../../serve/serve');
      // A terminal's Ctrl-C and hang-ups end the connection, never what runs behind it.
      await serve(process.stdin, process.stdout, version());
      process.exit(0);
    });
}
