import { TuneyardError } from '@protocol/errors';
import { Command } from 'commander';
import { version } from '../../version';
import type { CliContext } from '../context';

export function datasetCommand(_: CliContext): Command {
  return new Command('dataset')
    .description('show a dataset to a program, such as the VS Code extension, until it hangs up')
    .option('--stdio', 'over standard input and output (JSON-RPC 2.0)')
    .action(async ({ stdio }: { stdio?: boolean }) => {
      if (!stdio) throw new TuneyardError('usage', 'over what? There is --stdio.');
      const { serveDataset } = await import('../../data/session/serveDataset');
      await serveDataset(process.stdin, process.stdout, version());
      process.exit(0);
    });
}
