/** What can be done with VMs. What is heavy is loaded when it is used. */
import type { VmView } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import type { Commands } from '../../commands';
import type { Services } from '../../services';
import { vmLine } from './vmLine';
import { vmKey } from './vms';

/** Of a row, of a button under a message, or nothing from the palette. */
type Item = { vm?: string } | VmView | undefined;

export function vmCommands(services: Services, lookAgain: () => Promise<void>): Commands {
  const { vms } = services;
  const on = async (
    item: Item,
    title: string,
    act: (vm: VmView) => unknown,
    which: (vm: VmView) => boolean = () => true,
  ) => {
    const vm = named(item) ?? (await pick(title, vms.list().filter(which)));
    if (vm) await act(vm);
  };
  const named = (item: Item): VmView | undefined => {
    if (item === undefined) return undefined;
    const key = 'name' in item ? vmKey(item) : item.vm;
    return key === undefined ? undefined : vms.get(key);
  };
  const isMine = ({ known }: VmView) => known;
  const isRunning = ({ known, state }: VmView) => known && state === 'RUNNING';
  const isStopped = ({ known, state }: VmView) => known && state === 'TERMINATED';
  return {
    'tuneyard.vm.provision': async () => {
      const { provisionForRecipe } = await import('./provisionForRecipe');
      return provisionForRecipe(services);
    },
    'tuneyard.vm.extend': (item: Item) =>
      on(item, l10n.t('Extend a VM'), async (vm) => (await import('./extendVm')).extendVm(services, vm), isMine),
    'tuneyard.vm.stop': (item: Item) =>
      on(item, l10n.t('Stop a VM'), async (vm) => (await import('./extendVm')).stopVm(services, vm), isRunning),
    'tuneyard.vm.start': (item: Item) =>
      on(item, l10n.t('Start a VM'), async (vm) => (await import('./extendVm')).startVm(services, vm), isStopped),
    'tuneyard.vm.resumeElsewhere': (item: Item) =>
      on(
        item,
        l10n.t('Go on elsewhere'),
        async (vm) => (await import('./extendVm')).resumeElsewhere(services, vm),
        isStopped,
      ),
    'tuneyard.vm.delete': (item: Item) =>
      on(item, l10n.t('Delete a VM'), async (vm) => (await import('./deleteVm')).deleteVm(services, vm)),
    'tuneyard.vm.deleteAll': async () => (await import('./deleteVm')).deleteAllVms(services),
    'tuneyard.vm.openTerminal': (item: Item) =>
      on(
        item,
        l10n.t('Open a terminal'),
        ({ host }) => vscode.commands.executeCommand('tuneyard.host.openTerminal', { host }),
        ({ host }) => host !== undefined,
      ),
    'tuneyard.vm.copySshCommand': (item: Item) =>
      on(
        item,
        l10n.t('Copy the ssh command'),
        async ({ host, name }) => {
          const words = host && services.sshWords(host);
          if (!words) throw new TuneyardError('usage', l10n.t('{0} cannot be reached yet.', name));
          await vscode.env.clipboard.writeText(['ssh', ...words].map(shellWord).join(' '));
          vscode.window.setStatusBarMessage(l10n.t('Copied: ssh to {0}', name), 5000);
        },
        ({ host }) => host !== undefined,
      ),
    'tuneyard.vm.reconcile': lookAgain,
  };
}

async function pick(title: string, vms: readonly VmView[]): Promise<VmView | undefined> {
  if (vms.length === 0) throw new TuneyardError('usage', l10n.t('There is no VM to do this with.'));
  const items = vms.map((vm) => ({ label: vm.name, description: vmLine(vm, Date.now()), vm }));
  return (await vscode.window.showQuickPick(items, { title }))?.vm;
}

/** As a POSIX shell reads it back. */
const shellWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
