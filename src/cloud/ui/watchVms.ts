/**
 * What is done about VMs without a person asking: what was broken off is gone on with, what the cloud lists is compared
 * with what is known, and a person is reminded. Of a cloud that was never used nothing is asked.
 */
import type { VmView } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { withProgress } from '../../recipes/withProgress';
import type { Services } from '../../services';
import { formatDuration } from '../../ui/format';
import { withCloudHelp } from './cloudHelp';
import { dueReminders, type Reminder } from './reminders';
import { formatMoney } from './vmLine';
import { vmKey } from './vms';

/** Activation and what a person does first are not to wait for it. */
const FIRST_MS = 5000;
const RECONCILE_MS = 3600_000;
const REFRESH_MS = 60_000;
const TICK_MS = 10_000;
/** What could not be gone on with is not tried again at once. */
const RECOVER_MS = 5 * 60_000;

export class VmWatch implements vscode.Disposable {
  readonly #told = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #ended = new AbortController();
  #isBusy = false;
  #isRecovering = false;
  #recovered = Number.NEGATIVE_INFINITY;

  constructor(private readonly services: Services) {
    this.#timers.push(
      setTimeout(() => void this.#first(), FIRST_MS),
      setInterval(() => void this.#reconcile(), RECONCILE_MS),
      setInterval(() => void this.#refresh(), REFRESH_MS),
      setInterval(() => void this.#tick(), TICK_MS),
    );
  }

  /** Asked for by a person: what goes wrong is said. */
  async lookAgain(): Promise<void> {
    await withCloudHelp(this.services, async () => {
      const { unknown, known, failed } = await withProgress(l10n.t('Looking for VMs'), (_, signal) =>
        this.#ask(AbortSignal.any([signal, this.#ended.signal])),
      );
      for (const { project, message } of failed)
        void vscode.window.showWarningMessage(l10n.t('{0} could not be asked: {1}', project, message));
      if (unknown.length > 0) await this.#tellUnknown(unknown);
      else if (failed.length === 0) {
        vscode.window.showInformationMessage(
          known.length === 0
            ? l10n.t('Google lists no VM of Tuneyard.')
            : l10n.t('Google lists {0} VMs of Tuneyard, all of them known here.', known.length),
        );
      }
    });
  }

  dispose(): void {
    this.#ended.abort();
    // Intervals are cleared by the same call
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #first(): Promise<void> {
    const { vms } = this.services;
    await vms.load();
    if (!(await vms.isUsed())) return;
    // Not waited for: it may take as long as a VM takes to be made.
    void this.#tick();
    await this.#reconcile();
    this.#remind();
  }

  /** Whoever was busy with a VM may be gone by now, another window among them. */
  async #tick(): Promise<void> {
    this.#remind();
    if (this.#isRecovering || Date.now() - this.#recovered < RECOVER_MS) return;
    // It takes as long as a VM takes to be made: states are asked for meanwhile.
    this.#isRecovering = true;
    try {
      if (await this.services.vms.isBrokenOff()) await this.#recover().finally(() => (this.#recovered = Date.now()));
    } catch (error) {
      this.#note(error);
    } finally {
      this.#isRecovering = false;
    }
  }

  async #recover(): Promise<void> {
    const { cloud, vms, log } = this.services;
    log.info('Going on with what was broken off of VMs');
    // No signal: a window that closes does not cancel what is made, which would delete it.
    const done = await cloud.request('vm/recover', {});
    await vms.load();
    for (const vm of done) {
      const problem = vm.problem ? ` ${vm.problem}` : '';
      if (vm.state === 'DELETED' || vm.state === 'FAILED') {
        const cost = vm.cost ? ` ${l10n.t('It has cost {0}.', formatMoney(vm.cost.usd))}` : '';
        vscode.window.showInformationMessage(
          `${l10n.t('{0}, whose deletion was broken off, is deleted.', vm.name)}${cost}`,
        );
      } else if (problem) vscode.window.showWarningMessage(`${vm.name}:${problem}`);
      else vscode.window.showInformationMessage(l10n.t('{0}, which was broken off, is ready.', vm.name));
    }
  }

  async #reconcile(): Promise<void> {
    if (!(await this.services.vms.isUsed())) return;
    await this.#quietly(async () => {
      const before = new Set(this.services.vms.list().map(vmKey));
      const { unknown, failed } = await this.#ask(this.#ended.signal);
      for (const { project, message } of failed) this.services.log.warn(`${project}: ${message}`);
      const fresh = unknown.filter((vm) => !before.has(vmKey(vm)));
      if (fresh.length > 0) void this.#tellUnknown(fresh);
    });
  }

  async #ask(signal: AbortSignal) {
    const { cloud, vms } = this.services;
    const found = await cloud.request('vm/reconcile', {}, signal);
    vms.setUnknown(found.unknown);
    await vms.load();
    for (const vm of found.gone) {
      const cost = vm.cost ? ` ${l10n.t('It has cost {0}.', formatMoney(vm.cost.usd))}` : '';
      vscode.window.showInformationMessage(`${l10n.t('{0} is gone: it was deleted.', vm.name)}${cost}`);
    }
    return found;
  }

  /** States and idle times, while there are VMs and somebody looks at this window. */
  async #refresh(): Promise<void> {
    const { vms, cloud } = this.services;
    if (!vscode.window.state.focused || !vms.list().some(({ known }) => known)) return;
    await this.#quietly(async () => {
      const before = vms.list().filter(({ known }) => known);
      const now = await cloud.request('vm/list', { refresh: true }, this.#ended.signal);
      await vms.load();
      // Others delete theirs, and say so themselves.
      const isGone = (vm: VmView) => vm.state !== 'DELETING' && !now.some((each) => vmKey(each) === vmKey(vm));
      for (const vm of before.filter(isGone)) this.services.log.info(`${vm.name} is gone`);
    });
    this.#remind();
  }

  /** What nobody asked for is not to interrupt anybody when it fails: it is tried again. */
  async #quietly(work: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      await work();
    } catch (error) {
      this.#note(error);
    } finally {
      this.#isBusy = false;
    }
  }

  #note(error: unknown): void {
    if (!this.#ended.signal.aborted) this.services.log.warn(error instanceof Error ? error.message : String(error));
  }

  async #tellUnknown(vms: readonly VmView[]): Promise<void> {
    const hourly = vms.reduce((sum, { cost }) => sum + (cost?.usd_per_hour ?? 0), 0);
    const names = vms.map(({ name, project }) => `${name} (${project})`).join(', ');
    const show = l10n.t('Show');
    const remove = l10n.t('Delete…');
    const isPriced = vms.every(({ cost }) => cost);
    const chosen = await vscode.window.showWarningMessage(
      isPriced
        ? l10n.t('VMs of Tuneyard that were not made here: {0}. They cost {1} an hour.', names, formatMoney(hourly))
        : l10n.t('VMs of Tuneyard that were not made here: {0}.', names),
      show,
      remove,
    );
    if (chosen === show) await vscode.commands.executeCommand('tuneyard.hosts.focus');
    if (chosen === remove)
      await vscode.commands.executeCommand('tuneyard.vm.delete', vms.length === 1 ? vms[0] : undefined);
  }

  /** Once each, in the window that somebody looks at. */
  #remind(): void {
    const due = dueReminders(this.services.vms.list(), Date.now());
    for (const id of this.#told) if (!due.some((reminder) => reminder.id === id)) this.#told.delete(id);
    if (!vscode.window.state.focused) return;
    for (const reminder of due) {
      if (this.#told.has(reminder.id)) continue;
      this.#told.add(reminder.id);
      void remind(reminder);
    }
  }
}

async function remind({ kind, vm, seconds }: Reminder): Promise<void> {
  const time = formatDuration(seconds);
  const spent = vm.cost ? ` ${l10n.t('{0} spent.', formatMoney(vm.cost.usd))}` : '';
  const extend = { title: l10n.t('Extend'), command: 'tuneyard.vm.extend' };
  const remove = { title: l10n.t('Delete…'), command: 'tuneyard.vm.delete' };
  const start = { title: l10n.t('Start Fine-tune'), command: 'tuneyard.startFineTune' };
  const elsewhere = { title: l10n.t('Go on elsewhere'), command: 'tuneyard.vm.resumeElsewhere' };
  const again = { title: l10n.t('Start it again'), command: 'tuneyard.vm.start' };
  const { showWarningMessage } = vscode.window;
  const chosen = await (kind === 'ends'
    ? showWarningMessage(`${l10n.t('{0} is deleted in {1}.', vm.name, time)}${spent}`, extend, remove)
    : kind === 'idle'
      ? showWarningMessage(
          `${l10n.t('{0} has nothing to do, and ends itself in {1}.', vm.name, time)}${spent}`,
          start,
          remove,
        )
      : showWarningMessage(`${l10n.t('Google has taken {0} away.', vm.name)}${spent}`, elsewhere, again, remove));
  if (chosen) await vscode.commands.executeCommand(chosen.command, ...(chosen === start ? [] : [vm]));
}
