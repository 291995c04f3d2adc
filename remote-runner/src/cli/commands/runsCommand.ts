import { Command } from 'commander';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { runsTable } from '../render/runsTable';

export function runsCommand(context: CliContext): Command {
  const command = new Command('runs')
    .description('list the runs in ~/.tuneyard/runs, the newest first')
    .action((options: SharedOptions) => runs(context, options));
  return withSharedOptions(command);
}

async function runs(context: CliContext, options: SharedOptions): Promise<void> {
  const output = openOutput(context, options);
  const { listRuns } = await import('../../runs/store');
  const { runsFolder } = await import('../../runs/runDir');
  const found = await listRuns();
  for (const run of found) output.data(run);
  output.print(found.length === 0 ? `There are no runs in ${runsFolder()}.` : runsTable(found, output.colors));
}
