/** A VM that is being made, in one notification: its stages with their time, a way to cancel, and what comes next. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CreateVm, MachineOffer, VmProgress, VmView } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withProgress } from '../../recipes/withProgress';
import type { Services } from '../../services';
import { formatDuration } from '../../ui/format';
import { formatMoney, gpuText, stageText } from './vmLine';

const TICK_MS = 1000;
const LISTED_MS = 5000;
const LOOK_MS = 50;

/** @returns the host that it is. @throws what went wrong, when nothing of it is left */
export async function makeVm(services: Services, create: CreateVm, offer: MachineOffer): Promise<string | undefined> {
  const name = create.name ?? '';
  const vm = await withProgress(l10n.t('Making {0}', name), (report, signal) =>
    inStages(services, name, report, () =>
      services.cloud.request('vm/create', create, signal).catch(async (error: unknown) => {
        if (signal.aborted) await sayWhatIsLeft(services, create);
        throw error;
      }),
    ),
  );
  const host = vm.host && (await listed(services, vm.host));
  void sayReady(vm, offer);
  return host;
}

/** Tells the stage of a VM and its seconds, as long as the work goes on. */
export async function inStages<T>(
  { cloud }: Pick<Services, 'cloud'>,
  vm: string,
  report: (stage: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  let stage: VmProgress['stage'] | undefined;
  let since = Date.now();
  const show = () => {
    if (stage) report(`${stageText(stage)} · ${formatDuration((Date.now() - since) / 1000)}`);
  };
  const subscription = cloud.onDidProgress((progress) => {
    if (progress.vm !== vm) return;
    if (progress.stage !== stage) since = Date.now() - progress.seconds * 1000;
    stage = progress.stage;
    show();
  });
  const timer = setInterval(show, TICK_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    subscription.dispose();
  }
}

/** Who cancels wants to know that nothing costs on. */
async function sayWhatIsLeft({ cloud, log }: Services, { name = '', project }: CreateVm): Promise<void> {
  try {
    const options = {
      location: vscode.ProgressLocation.Notification,
      title: l10n.t('Deleting what there is of {0}', name),
    };
    const { cost } = await vscode.window.withProgress(options, () => cloud.request('vm/delete', { vm: name, project }));
    const spent = cost ? ` ${l10n.t('It has cost {0}.', formatMoney(cost.usd))}` : '';
    vscode.window.showInformationMessage(`${l10n.t('{0} was cancelled, and nothing of it is left.', name)}${spent}`);
  } catch (error) {
    if (error instanceof TuneyardError && error.code === 'vm_not_found') {
      vscode.window.showInformationMessage(l10n.t('{0} was cancelled before anything was made.', name));
      return;
    }
    log.error(error instanceof Error ? error.message : String(error));
    vscode.window.showErrorMessage(
      l10n.t(
        '{0} was cancelled, but it is not certain yet that nothing is left: it is tried again. {1}',
        name,
        error instanceof Error ? error.message : String(error),
      ),
    );
  }
}

/** The record is read when its file has changed, a moment later. */
async function listed({ hosts, vms }: Services, id: string): Promise<string | undefined> {
  await vms.load();
  for (const limit = Date.now() + LISTED_MS; Date.now() < limit; await delay(LOOK_MS)) {
    if (hosts.get(id)) return id;
  }
  return undefined;
}

async function sayReady(vm: VmView, { gpu }: MachineOffer): Promise<void> {
  const start = l10n.t('Start Fine-tune');
  const terminal = l10n.t('Open terminal');
  const left = vm.delete_at ? (Date.parse(vm.delete_at) - Date.now()) / 1000 : 0;
  const facts = [
    gpuText(gpu),
    vm.cost && l10n.t('{0}/h', formatMoney(vm.cost.usd_per_hour)),
    l10n.t('deleted in {0}', formatDuration(left)),
  ];
  const chosen = await vscode.window.showInformationMessage(
    l10n.t('{0} is ready: {1}.', vm.name, facts.filter((fact) => fact).join(', ')),
    start,
    terminal,
  );
  if (chosen === start) await vscode.commands.executeCommand('tuneyard.startFineTune');
  if (chosen === terminal) await vscode.commands.executeCommand('tuneyard.host.openTerminal', { host: vm.host });
}
