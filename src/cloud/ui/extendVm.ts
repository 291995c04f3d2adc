/** Moving the end of a VM, and stopping and starting it. */
import type { VmView } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withProgress } from '../../recipes/withProgress';
import { isAlive } from '../../runs/store';
import type { Services } from '../../services';
import { formatDuration } from '../../ui/format';
import { withCloudHelp } from './cloudHelp';
import { inStages } from './makeVm';
import { formatMoney } from './vmLine';

const HOURS = [1, 4, 12, 24, 72];

export async function extendVm(services: Services, vm: VmView): Promise<void> {
  await withCloudHelp(services, async () => {
    const left = vm.delete_at ? Math.max(0, (Date.parse(vm.delete_at) - Date.now()) / 1000) : 0;
    const items = HOURS.map((hours) => ({
      label: l10n.t('{0} h more', hours),
      description: [
        l10n.t('deleted in {0}', formatDuration(left + hours * 3600)),
        vm.cost && l10n.t('{0} more', formatMoney(vm.cost.usd_per_hour * hours)),
      ]
        .filter((part) => part)
        .join(' · '),
      seconds: Math.round(left + hours * 3600),
    }));
    const title = l10n.t('Extend {0}', vm.name);
    const chosen = await vscode.window.showQuickPick(items, { title });
    if (!chosen) return;
    const now = await setEnd(services, vm, chosen.seconds);
    if (!now?.delete_at) return;
    const rest = (Date.parse(now.delete_at) - Date.now()) / 1000;
    vscode.window.showInformationMessage(l10n.t('{0} is deleted in {1} now.', vm.name, formatDuration(rest)));
  });
}

/** Where Google's own limit is in the way, it has to be stopped and started, which is asked first. */
async function setEnd({ cloud, vms }: Services, vm: VmView, seconds: number): Promise<VmView | undefined> {
  const title = l10n.t('Extending {0}', vm.name);
  try {
    return await withProgress(title, (_, signal) => cloud.request('vm/extend', { vm: vm.name, seconds }, signal));
  } catch (error) {
    if (!(error instanceof TuneyardError && error.data.reason === 'running')) throw error;
    const restart = l10n.t('Stop, extend, start');
    const chosen = await vscode.window.showWarningMessage(
      l10n.t('Stop and start {0} to extend it?', vm.name),
      { modal: true, detail: error.message },
      l10n.t('Leave it'),
      restart,
    );
    if (chosen !== restart) return undefined;
    return await withProgress(title, (report) =>
      inStages({ cloud }, vm.name, report, () => cloud.request('vm/extend', { vm: vm.name, seconds, restart: true })),
    );
  } finally {
    await vms.load();
  }
}

export async function stopVm(services: Services, vm: VmView): Promise<void> {
  const { cloud, runners, runs, vms } = services;
  const training = vm.host ? runs.list(vm.host).filter(isAlive).length : 0;
  if (training > 0) {
    const stop = l10n.t('Stop it');
    const chosen = await vscode.window.showWarningMessage(
      l10n.t('Stop {0}, on which {1} runs are training?', vm.name, training),
      {
        modal: true,
        detail: l10n.t('They go on from their last checkpoints when it is started again. Its disk costs on meanwhile.'),
      },
      l10n.t('Let it run'),
      stop,
    );
    if (chosen !== stop) return;
  }
  await withCloudHelp(services, async () => {
    if (vm.host) await runners.close(vm.host).catch(() => {});
    const options = { location: vscode.ProgressLocation.Notification, title: l10n.t('Stopping {0}', vm.name) };
    const now = await vscode.window.withProgress(options, () => cloud.request('vm/stop', { vm: vm.name }));
    await vms.load();
    const rest = now.cost ? ` ${l10n.t('Its disk costs {0} an hour.', formatMoney(now.cost.usd_per_hour))}` : '';
    const remove = l10n.t('Delete');
    const chosen = await vscode.window.showInformationMessage(
      `${l10n.t('{0} is stopped, and stays until you delete it.', vm.name)}${rest}`,
      l10n.t('Start'),
      remove,
    );
    if (chosen)
      await vscode.commands.executeCommand(chosen === remove ? 'tuneyard.vm.delete' : 'tuneyard.vm.start', vm);
  });
}

export async function startVm(services: Services, vm: VmView): Promise<void> {
  const { cloud, vms } = services;
  await withCloudHelp(
    services,
    async () => {
      await withProgress(l10n.t('Starting {0}', vm.name), (report, signal) =>
        inStages(services, vm.name, report, () => cloud.request('vm/start', { vm: vm.name }, signal)),
      ).finally(() => vms.load());
      vscode.window.showInformationMessage(l10n.t('{0} is ready again.', vm.name));
    },
    () => startVm(services, vm),
  );
}

/** One that Google took away: made anew in another zone, where its runs go on by themselves. */
export async function resumeElsewhere(services: Services, vm: VmView): Promise<void> {
  const { cloud, vms } = services;
  await withCloudHelp(
    services,
    async () => {
      const now = await withProgress(l10n.t('Going on with {0} elsewhere', vm.name), (report, signal) =>
        inStages(services, vm.name, report, () => cloud.request('vm/resumeElsewhere', { vm: vm.name }, signal)),
      ).finally(() => vms.load());
      vscode.window.showInformationMessage(
        l10n.t('{0} goes on in {1}; its runs go on from their last checkpoints.', now.name, now.zone ?? ''),
      );
    },
    () => resumeElsewhere(services, vm),
  );
}
