/** Deleting a VM: one question with what would be lost, fetching that first if wanted, and then certainty. */
import { join } from 'node:path';
import type { VmDeletion, VmView } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { quietly } from '../../hosts/quietly';
import { withProgress } from '../../recipes/withProgress';
import type { Runner } from '../../runner/runner';
import { runName } from '../../runs/describe';
import { freeFolder, openFolder } from '../../runs/folders';
import type { Services } from '../../services';
import { fetchAll, type Losses, lossesOn } from '../losses';
import { asLabel } from '../vmRecord';
import { withCloudHelp } from './cloudHelp';
import { formatMoney } from './vmLine';
import { vmKey } from './vms';

/** Who is not reached by then is not asked. */
const LOOK_MS = 30_000;
const SHOWN_RUNS = 5;

export async function deleteVm(services: Services, vm: VmView): Promise<void> {
  await withCloudHelp(
    services,
    async () => {
      const runner = await reach(services, vm);
      const losses = runner && (await look(services, runner, vm));
      const remove = l10n.t('Delete');
      const fetch = l10n.t('Fetch first');
      const detail = lossText(vm, losses);
      // What comes first is what Enter does: nothing is lost by it.
      const isWorthIt = losses !== undefined && losses.training.length + losses.unfetched.length > 0;
      const safe = isWorthIt ? fetch : l10n.t('Keep');
      const chosen = await vscode.window.showWarningMessage(questionFor(vm), { modal: true, detail }, safe, remove);
      if (chosen === undefined || (chosen === safe && safe !== fetch)) return;
      if (chosen !== fetch || !runner) {
        void sayDeleted(await carryOut(services, vm));
        return;
      }
      const parent = await askFolder(vm);
      if (!parent) return;
      // One message for both in the end: VS Code drops those that come at once.
      await services.runs.endingAll(runner.host.id, async () => {
        const folders = await bring(runner, vm, parent);
        const deletion = await carryOut(services, vm).catch((error: unknown) => {
          vscode.window.showInformationMessage(fetchedText(folders));
          throw error;
        });
        void sayDeleted(deletion, folders);
      });
    },
    () => deleteVm(services, services.vms.get(vmKey(vm)) ?? vm),
  );
}

/** All that are known here, and those elsewhere in these projects that bear the same owner. */
export async function deleteAllVms(services: Services): Promise<void> {
  await withCloudHelp(services, async () => {
    const { vms, cloud } = services;
    const found = await withProgress(l10n.t('Looking for VMs of yours'), async (_, signal) => {
      const { account } = await cloud.request('cloud/identity', {}, signal);
      const { unknown, failed } = await cloud.request('vm/reconcile', {}, signal);
      vms.setUnknown(unknown);
      await vms.load();
      const owners = new Set(vms.list().flatMap((vm) => (vm.known && vm.owner ? [vm.owner] : [])));
      if (account) owners.add(asLabel(account));
      return { mine: vms.list().filter((vm) => vm.known || owners.has(vm.owner ?? '')), failed };
    });
    for (const { project, message } of found.failed)
      void vscode.window.showWarningMessage(l10n.t('{0} could not be asked: {1}', project, message));
    const { mine } = found;
    if (mine.length === 0) {
      vscode.window.showInformationMessage(l10n.t('There are no VMs of yours.'));
      return;
    }
    const spent = mine.reduce((sum, { cost }) => sum + (cost?.usd ?? 0), 0);
    const hourly = mine.reduce((sum, { cost }) => sum + (cost?.usd_per_hour ?? 0), 0);
    const lines = mine.map((vm) => [vm.name, vm.project, vm.state, spentText(vm), training(services, vm)]);
    const remove = l10n.t('Delete all');
    const chosen = await vscode.window.showWarningMessage(
      l10n.t('Delete {0} VMs with all that is on them? {1} spent.', mine.length, formatMoney(spent)),
      {
        modal: true,
        detail: [
          ...lines.map((line) => line.filter((part) => part).join(' · ')),
          '',
          l10n.t('They cost {0} an hour. What was not fetched from them is lost.', formatMoney(hourly)),
        ].join('\n'),
      },
      l10n.t('Keep'),
      remove,
    );
    if (chosen !== remove) return;
    // One that fails keeps no other: all of them cost.
    const ended = await Promise.allSettled(mine.map((vm) => carryOut(services, vm)));
    for (const end of ended) {
      if (end.status === 'fulfilled') void sayDeleted(end.value);
      else await withCloudHelp(services, () => Promise.reject(end.reason));
    }
  });
}

function questionFor(vm: VmView): string {
  if (!vm.known) {
    const owner = vm.owner ?? '?';
    return vm.cost
      ? l10n.t('Delete {0}, which {1} has made elsewhere? {2} spent.', vm.name, owner, formatMoney(vm.cost.usd))
      : l10n.t('Delete {0}, which {1} has made elsewhere?', vm.name, owner);
  }
  return vm.cost ? l10n.t('Delete {0}? {1} spent.', vm.name, formatMoney(vm.cost.usd)) : l10n.t('Delete {0}?', vm.name);
}

function lossText(vm: VmView, losses: Losses | undefined): string {
  const cannotTell =
    vm.known && vm.host && vm.state === 'RUNNING'
      ? l10n.t('It could not be reached, so it is not known what would be lost.')
      : l10n.t('It is not running, so it is not known what would be lost.');
  const lines: string[] = [];
  if (!vm.host || !vm.known) lines.push(vm.known ? l10n.t('Nothing was run on it.') : cannotTell);
  else if (!losses) lines.push(cannotTell);
  else if (losses.training.length + losses.unfetched.length === 0) lines.push(l10n.t('Nothing would be lost.'));
  else {
    const { training, unfetched } = losses;
    if (training.length > 0) {
      const names = training.map((run) =>
        run.total_steps > 0
          ? `${runName(run.id)} (${Math.floor((100 * run.step) / run.total_steps)}%)`
          : runName(run.id),
      );
      lines.push(l10n.t('Still training: {0}', shortened(names)));
    }
    if (unfetched.length > 0) {
      const names = unfetched.map(({ run, what }) =>
        what === 'model' ? runName(run.id) : l10n.t('{0}, step {1}', runName(run.id), what),
      );
      lines.push(l10n.t('Not fetched: {0}', shortened(names)));
    }
    lines.push(
      training.length > 0
        ? l10n.t(
            '"Fetch first" stops what trains, with a checkpoint, brings all to a folder of yours, and then deletes.',
          )
        : l10n.t('"Fetch first" brings this to a folder of yours, and then deletes.'),
    );
  }
  lines.push('', l10n.t('Its disk and its address go with it.'));
  return lines.join('\n');
}

const shortened = (names: readonly string[]): string =>
  names.length > SHOWN_RUNS
    ? l10n.t('{0} and {1} more', names.slice(0, SHOWN_RUNS).join('; '), names.length - SHOWN_RUNS)
    : names.join('; ');

const spentText = ({ cost }: VmView): string => (cost ? l10n.t('{0} so far', formatMoney(cost.usd)) : '');

/** As far as it is known without asking. */
function training({ runs }: Services, { host }: VmView): string {
  const count = host ? runs.list(host).filter(({ state }) => state === 'running').length : 0;
  return count === 0 ? '' : count === 1 ? l10n.t('1 run is training') : l10n.t('{0} runs are training', count);
}

/** The runner on it; undefined where there is none, or it does not answer soon: that is no reason not to delete. */
async function reach({ runners, log }: Services, { host, known, state, name }: VmView): Promise<Runner | undefined> {
  if (!host || !known || state !== 'RUNNING') return undefined;
  const open = runners.current(host);
  if (open) return open;
  return withProgress(l10n.t('Looking what is on {0}', name), (report, signal) =>
    quietly(() =>
      runners.open(host, { signal: AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]), onProgress: report }),
    ),
  ).catch((error: unknown) => {
    log.warn(`${name}: ${error instanceof Error ? error.message : error}`);
    return undefined;
  });
}

async function look({ log }: Services, runner: Runner, { name }: VmView): Promise<Losses | undefined> {
  try {
    return await lossesOn(runner, AbortSignal.timeout(LOOK_MS));
  } catch (error) {
    log.warn(`${name}: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

const fetchTitle = ({ name }: VmView): string => l10n.t('Fetch from {0}', name);

async function askFolder(vm: VmView): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: fetchTitle(vm),
    canSelectFolders: true,
    canSelectFiles: false,
    openLabel: l10n.t('Fetch here'),
  });
  return chosen?.[0]?.fsPath;
}

const bring = (runner: Runner, vm: VmView, parent: string): Promise<string[]> =>
  withProgress(fetchTitle(vm), (report, signal) =>
    fetchAll(runner, { folderFor: ({ id }) => freeFolder(parent, runName(id)), report, signal }),
  );

async function carryOut(services: Services, vm: VmView): Promise<VmDeletion> {
  const { cloud, vms, runners, runs } = services;
  const where = vm.known ? {} : { ...(vm.zone && { zone: vm.zone }) };
  const options = { location: vscode.ProgressLocation.Notification, title: l10n.t('Deleting {0}', vm.name) };
  const deletion = await vscode.window.withProgress(options, async (progress) => {
    progress.report({ message: l10n.t('and looking that nothing is left') });
    // Else it is connected to again and again.
    if (vm.host && vm.known) await runners.close(vm.host).catch(() => {});
    return cloud.request('vm/delete', { vm: vm.name, project: vm.project, ...where });
  });
  if (vm.host && vm.known) runs.forgetHost(vm.host);
  vms.forget(vmKey(vm));
  await vms.load();
  return deletion;
}

const fetchedText = (folders: readonly string[]): string => l10n.t('Fetched: {0}.', folders.join(', '));

async function sayDeleted({ vm, kept, cost }: VmDeletion, folders: readonly string[] = []): Promise<void> {
  const parts = [
    // A long notification is cut off: what one wants to know comes first.
    cost ? l10n.t('{0} is deleted; it has cost {1}.', vm, formatMoney(cost.usd)) : l10n.t('{0} is deleted.', vm),
    folders.length > 0 && fetchedText(folders),
    kept.length > 0 && l10n.t('Kept: {0}.', kept.join(', ')),
    l10n.t('Google lists nothing of it any more.'),
  ];
  const open = l10n.t('Open folder');
  const [first] = folders;
  const chosen = await vscode.window.showInformationMessage(
    parts.filter((part) => part).join(' '),
    ...(first === undefined ? [] : [open]),
  );
  if (chosen === open && first !== undefined) await openFolder(folders.length === 1 ? first : join(first, '..'));
}
