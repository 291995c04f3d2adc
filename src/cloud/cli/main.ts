/** `tuneyard vm …`: VMs on Google Compute Engine from the command line, and the program that the extension speaks to. */
import { TuneyardError } from '@protocol/errors';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { CloudService } from '../cloudService';
import { type CreateOptions, createCommand, type OfferOptions, offersCommand } from './createVm';
import { type DeleteOptions, deleteVms } from './deleteVms';
import { reconciliationText, vmTable, vmText } from './describeVm';
import { openCloud } from './openCloud';
import { serveRpc } from './rpc';
import { proxyCommand, scpCommand, sshCommand } from './sshVm';
import { openTerminal, type Terminal } from './terminal';

interface Shared {
  json?: boolean;
  yes?: boolean;
}

/**
 * @param argv what follows `tuneyard vm`
 * @returns the exit status: 0 done, 1 failed, 2 bad input; of `ssh` and `scp` theirs
 */
export async function main(argv: string[]): Promise<number> {
  let status = 0;
  const program = createProgram((exit) => {
    status = exit;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return report(error, argv.includes('--json'));
  }
}

function createProgram(exit: (status: number) => void): Command {
  const program = new Command('tuneyard vm')
    .description('Makes GPU VMs on Google Compute Engine, and sees to it that they end.')
    .enablePositionalOptions();
  const command = (usage: string, description: string) =>
    program.command(usage).description(description).option('--json', 'one JSON object a line');
  const offering = (one: Command) =>
    one
      .option('--project <id>', 'Google Cloud project (default: gcloud’s)')
      .option('--recipe <file>', 'take the GPU memory that this recipe needs')
      .option('--gpu-memory <gb>', 'GPU memory in all', positive)
      .option('--region <name>', 'only in this region; may be repeated', collect)
      .option('--disk-size <gb>', 'boot disk', positive, 200)
      .option('--disk-type <type>', 'its type (default: pd-balanced)');

  offering(command('offers', 'list machine types with GPUs, what they cost, and whether the quota allows them'))
    .option('--all', 'those with too little memory as well')
    .action((options: OfferOptions) => offersCommand(options));
  offering(command('create [name]', 'make a VM and wait until it is ready'))
    .option('--machine-type <type>', 'default: the cheapest that fits')
    .option('--zone <zone>', 'may be repeated: tried in this order', collect)
    .option('--spot', 'cheaper, and Google may take it away')
    .option('--hours <n>', 'it is deleted after so many hours', positive, 12)
    .option('--idle <minutes>', 'it ends itself after so many idle minutes (0: never)', natural, 30)
    .addOption(new Option('--idle-action <action>', 'what it does then').choices(['delete', 'stop']))
    .option('--end-after-last-run', 'it ends itself when no run is left')
    .option('--artifacts <where>', 'fetch, snapshot or gs://BUCKET', 'fetch')
    .option('--service-account <email>', 'whom it acts as (default: nobody)')
    .option('--network <name>')
    .option('--subnet <name>')
    .option('--iap', 'no external address: reached through Identity-Aware Proxy')
    .option('--bare', 'install nothing: no runner, and so nobody on it who ends it when it is idle')
    .option('--image-family <family>')
    .option('--image-project <project>')
    .option('-y, --yes', 'do not ask')
    .action((name: string | undefined, options: CreateOptions) => createCommand(name, options));
  command('list', 'list the VMs that were made here')
    .option('--offline', 'as they were last seen')
    .option('--ended', 'those that are gone, and what they have cost')
    .action((options: Shared & { offline?: boolean; ended?: boolean }) =>
      withService(options, async (service, terminal) => {
        const vms = options.ended ? await service.history() : await service.list({ refresh: !options.offline });
        if (terminal.json) for (const vm of vms) terminal.result(vm, '');
        else terminal.result(vms, vms.length === 0 ? 'There are no VMs.' : vmTable(vms, Date.now()));
      }),
    );
  command('describe <name>', 'show all that is known of a VM').action((name: string, options: Shared) =>
    withService(options, async (service, terminal) => {
      const found = (await service.list({ refresh: true })).find((vm) => vm.name === name);
      const vm = found ?? (await service.history()).find((ended) => ended.name === name);
      if (!vm) throw new TuneyardError('vm_not_found', `No VM named ${name} is known here.`);
      terminal.result(vm, vmText(vm, Date.now()));
    }),
  );
  program
    .command('ssh <name> [command...]')
    .description('log in, or run a command')
    .passThroughOptions()
    .action(async (name: string, words: string[]) => exit(await sshCommand(name, words)));
  program
    .command('scp <paths...>')
    .description('copy files; NAME:PATH is on the VM')
    .option('-r, --recurse', 'folders as well')
    .action(async (paths: string[], options: { recurse?: boolean }) => exit(await scpCommand(paths, options)));
  program
    .command('proxy <name>')
    .description('connect standard input and output to a VM without an address')
    .option('--project <id>')
    .option('--zone <zone>')
    .option('--port <n>', 'default: 22', positive, 22)
    .action((name: string, options: { project?: string; zone?: string; port: number }) => proxyCommand(name, options));
  command('extend <name>', 'let a VM live longer')
    .requiredOption('--hours <n>', 'from now', positive)
    .option('--restart', 'stop and start it where Google changes its time limit only so')
    .action((name: string, options: Shared & { hours: number; restart?: boolean }) =>
      withService(options, async (service, terminal) => {
        const vm = await service.extend(name, Math.round(options.hours * 3600), {
          ...(options.restart && { restart: true }),
        });
        terminal.result(vm, vmText(vm, Date.now()));
      }),
    );
  for (const [name, description] of [
    ['stop', 'stop a VM; its disk stays, and costs'],
    ['start', 'start a VM that was stopped, and wait until it is ready'],
  ] as const) {
    command(`${name} <name>`, description).action((vm: string, options: Shared) =>
      withService(options, async (service, terminal) => {
        const view = await service[name](vm);
        terminal.result(view, vmText(view, Date.now()));
      }),
    );
  }
  command('resume <name>', 'make a VM that was taken away anew elsewhere; its runs go on')
    .option('--zone <zone>', 'may be repeated: only there, in this order', collect)
    .option('-y, --yes', 'do not ask')
    .action((vm: string, options: Shared & { zone?: string[] }) =>
      withService(options, async (service, terminal) => {
        await terminal.confirm(`Make ${vm} anew? It costs as before.`);
        const view = await service.resumeElsewhere({ vm, ...(options.zone && { zones: options.zone }) });
        terminal.result(view, vmText(view, Date.now()));
      }),
    );
  command('delete [name]', 'delete a VM, its disk and its address, and look whether they are gone')
    .option('--all', 'all that were made here')
    .option('--fetch <dir>', 'bring what is nowhere else into this folder first')
    .option('--project <id>', 'of one that was not made here')
    .option('--zone <zone>', 'of one that was not made here')
    .option('-y, --yes', 'do not ask')
    .action((name: string | undefined, options: DeleteOptions) => deleteVms(name, options));
  command('reconcile', 'look for VMs of Tuneyard in your projects, also those that nobody here knows of')
    .option('--project <id>', 'in these as well; may be repeated', collect)
    .action((options: Shared & { project?: string[] }) =>
      withService(options, async (service, terminal) => {
        const found = await service.reconcile(options.project);
        terminal.result(found, reconciliationText(found, Date.now()));
      }),
    );
  command('recover', 'go on with creations and deletions that were broken off')
    .option('--bare', 'as those that were made so')
    .action((options: Shared & { bare?: boolean }) =>
      withService(options, async (service, terminal) => {
        const vms = await service.recover();
        terminal.result(vms, vms.length === 0 ? 'Nothing was broken off.' : vmTable(vms, Date.now()));
      }),
    );
  program
    .command('rpc', { hidden: true })
    .option('--stdio')
    .action(() => serveRpc());

  program.helpCommand('help [command]', 'show how a command is used');
  for (const one of [program, ...program.commands]) {
    one
      .exitOverride()
      .helpOption('-h, --help', 'show this')
      .configureOutput({ writeErr: () => {} });
  }
  return program;
}

async function withService(
  options: Shared & { bare?: boolean },
  work: (service: CloudService, terminal: Terminal) => Promise<void>,
): Promise<void> {
  const { service } = openCloud(() => {}, { bare: options.bare ?? false });
  try {
    await work(service, openTerminal(options));
  } finally {
    service.dispose();
  }
}

function report(error: unknown, json: boolean): number {
  const known =
    error instanceof TuneyardError
      ? error
      : error instanceof CommanderError
        ? usageError(error)
        : new TuneyardError('internal', error instanceof Error ? error.message : String(error), { cause: error });
  if (json) process.stdout.write(`${JSON.stringify({ type: 'error', ...known.toJSON() })}\n`);
  process.stderr.write(`${known.message}\n`);
  if (process.env.TUNEYARD_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return known.exitStatus;
}

function usageError({ code, message }: CommanderError): TuneyardError {
  if (code === 'commander.help') return new TuneyardError('usage', 'Which command? "tuneyard vm --help" lists them.');
  const text = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
  return new TuneyardError(
    'usage',
    `${text}${/[.)?]$/.test(text) ? '' : '.'} "tuneyard vm --help" shows what there is.`,
  );
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

function natural(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && Number.isInteger(value))) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}
