import type { Check } from '@protocol/runner';
import { Command } from 'commander';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';

interface DoctorOptions extends SharedOptions {
  hub?: boolean;
}

export function doctorCommand(context: CliContext): Command {
  const command = new Command('doctor')
    .description('check whether this machine can train, and say what to do where it cannot')
    .option('--hub', 'also ask the model hub (HF_ENDPOINT) whether it can be reached')
    .action((options: DoctorOptions) => doctor(context, options));
  return withSharedOptions(command);
}

const SIGNS: Record<Check['status'], string> = { ok: '✓', warning: '!', failed: '✗' };

async function doctor(context: CliContext, options: DoctorOptions): Promise<void> {
  const output = openOutput(context, options);
  const { colors } = output;
  const colored = { ok: colors.green, warning: colors.yellow, failed: colors.red };
  const { machineChecks } = await import('../doctor/machineChecks');
  const { engineChecks } = await import('../doctor/engineChecks');
  const { hubCheck } = await import('../doctor/hubCheck');
  const checks = [machineChecks, engineChecks, ...(options.hub ? [hubCheck] : [])];
  for (const check of checks) {
    for await (const found of check()) {
      output.data(found);
      output.print(
        `${colored[found.status](SIGNS[found.status])} ${colors.bold(found.name.padEnd(12))}  ${found.detail}`,
      );
      if (found.remedy !== undefined) output.print(`                ${found.remedy}`);
      if (found.status === 'failed') context.exitStatus = 1;
    }
  }
}
