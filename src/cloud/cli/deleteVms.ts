/** `tuneyard vm delete`: what would be lost, one question, fetching that first where it is wanted, and then certainty. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { VmView } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import { runName } from '../../runs/describe';
import { fetchAll, type Losses, lossesOn } from '../losses';
import { deletionText, vmTable } from './describeVm';
import { type Cloud, openCloud } from './openCloud';
import { openTerminal, type Terminal } from './terminal';
import { withVmRunner } from './vmRunner';

export interface DeleteOptions {
  all?: boolean;
  project?: string;
  zone?: string;
  /** Folder into which results are brought first. */
  fetch?: string;
  yes?: boolean;
  json?: boolean;
}

/** Who is not reached by then is not asked. */
const LOOK_MS = 30_000;

export async function deleteVms(name: string | undefined, options: DeleteOptions): Promise<void> {
  const { all, project, zone, fetch, yes } = options;
  if ((name === undefined) === !all) throw new TuneyardError('usage', 'Which VM? Give its name, or --all.');
  const terminal = openTerminal(options);
  const cloud = openCloud(() => {});
  const { service } = cloud;
  try {
    const known = await service.list({ refresh: project === undefined });
    const meant = all ? known : known.filter((vm) => vm.name === name);
    if (all && meant.length === 0) return terminal.result({ deleted: [] }, 'There are no VMs.');
    if (!terminal.json && meant.length > 0) process.stderr.write(`${vmTable(meant, Date.now())}\n`);
    const names = all ? meant.map((vm) => vm.name) : [name!];
    // Who does not ask does not read either.
    if (!yes && !terminal.json) for (const vm of meant) process.stderr.write(await lossText(cloud, vm));
    await terminal.confirm(`Delete ${names.join(', ')} with all that is on ${names.length === 1 ? 'it' : 'them'}?`);
    let failure: unknown;
    for (const vm of names) {
      try {
        const view = meant.find((each) => each.name === vm);
        if (fetch !== undefined) await bring(cloud, view ?? missing(vm), fetch, terminal);
        const done = await service.delete({ vm, ...(project && { project }), ...(zone && { zone }) });
        terminal.result(done, deletionText(done));
      } catch (error) {
        // The others cost money too.
        failure ??= error;
        if (names.length > 1) process.stderr.write(`${vm}: ${error instanceof Error ? error.message : error}\n`);
      }
    }
    if (failure) throw failure;
  } finally {
    service.dispose();
  }
}

function missing(vm: string): never {
  throw new TuneyardError('vm_not_found', `Nothing can be fetched from ${vm}: it was not made here.`);
}

async function lossText(cloud: Cloud, vm: VmView): Promise<string> {
  if (vm.host === undefined) return `Nothing was run on ${vm.name}.\n`;
  if (vm.state !== 'RUNNING') return `${vm.name} is not running, so it is not known what would be lost.\n`;
  try {
    const { training, unfetched } = await look(cloud, vm);
    const lines = [
      ...training.map(({ id, step, total_steps }) => `still training: ${runName(id)} (step ${step} of ${total_steps})`),
      ...unfetched.map(({ run, what }) => `not fetched: ${runName(run.id)}${what === 'model' ? '' : `, step ${what}`}`),
    ];
    if (lines.length === 0) return `Nothing on ${vm.name} would be lost.\n`;
    const hint = '  "--fetch DIR" stops what trains, with a checkpoint, and brings all here first.\n';
    return `On ${vm.name}:\n${lines.map((line) => `  ${line}\n`).join('')}${hint}`;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${vm.name} could not be reached, so it is not known what would be lost (${why})\n`;
  }
}

async function look(cloud: Cloud, vm: VmView): Promise<Losses> {
  const ssh = await cloud.service.ssh(vm.name);
  return withVmRunner(cloud, ssh, {
    limitMs: LOOK_MS,
    work: (runner) => lossesOn(runner, AbortSignal.timeout(LOOK_MS)),
  });
}

/** @throws what it fails with: then nothing is deleted */
async function bring(cloud: Cloud, vm: VmView, folder: string, terminal: Terminal): Promise<void> {
  const parent = resolve(folder);
  await mkdir(parent, { recursive: true });
  const ssh = await cloud.service.ssh(vm.name);
  await withVmRunner(cloud, ssh, {
    limitMs: LOOK_MS,
    work: async (runner) => {
      const signal = new AbortController().signal;
      const said = new Set<string>();
      const report = (text: string) => {
        if (said.has(text)) return;
        said.add(text);
        terminal.progress({ type: 'status', vm: vm.name, text }, `${vm.name}: ${text}`);
      };
      const folders = await fetchAll(runner, {
        folderFor: async ({ id }) => freeIn(parent, id),
        report,
        signal,
      });
      for (const fetched of folders)
        terminal.result({ type: 'fetched', vm: vm.name, folder: fetched }, `Fetched: ${fetched}`);
    },
  });
}

function freeIn(parent: string, run: string): string {
  for (let i = 1; ; i++) {
    const folder = join(parent, i === 1 ? runName(run) : `${runName(run)}-${i}`);
    if (!existsSync(folder)) return folder;
  }
}
