import { Command } from 'commander';
import { formatBytes } from '../../hub/diskSpace';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { listenForInterrupts } from '../interrupts';

interface ExportOptions extends SharedOptions {
  out: string;
}

export function exportCommand(context: CliContext): Command {
  const command = new Command('export')
    .description('write a run’s model as a folder in Hugging Face’s format')
    .argument('<run>', 'run, checkpoint or model folder')
    .requiredOption('--out <dir>', 'the folder to write')
    .action((from: string, options: ExportOptions) => exportModel(context, from, options));
  return withSharedOptions(command);
}

async function exportModel(context: CliContext, from: string, options: ExportOptions): Promise<void> {
  const output = openOutput(context, options);
  const { exportJob } = await import('../../jobs/exportJob');
  const interrupts = listenForInterrupts();
  try {
    output.status('Writing the model …');
    const result = await exportJob({ from, out: options.out, signal: interrupts.signal });
    output.status('');
    output.data(result);
    output.print(`${result.path}  ${formatBytes(result.bytes)}  ${result.weights}`);
  } finally {
    interrupts.dispose();
  }
}
