/** A VM in one line, and all that is known of it. */
import type { MachineGpu, VmStage, VmView } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import { formatAgo, formatDuration } from '../../ui/format';

/** To the cent, as on the bill: what comes in micro-dollars is a whole number of them first. */
export const formatMoney = (usd: number): string => `$${(Math.round(Math.round(usd * 1e6) / 1e4) / 100).toFixed(2)}`;

export const gpuText = ({ count, name }: MachineGpu): string => `${count}×${name}`;

/** `RUNNING · $2.00/h · $1.34 so far · deleted in 5 h 12 m`: the state is Google's own word. */
export function vmLine(vm: VmView, now: number): string {
  const parts = [
    vm.stage && vm.stage !== 'ready' ? `${stageText(vm.stage)} ${since(vm.stage_since, now)}`.trim() : stateText(vm),
    vm.cost && l10n.t('{0}/h', formatMoney(vm.cost.usd_per_hour)),
    vm.cost && l10n.t('{0} so far', formatMoney(vm.cost.usd)),
    endText(vm, now),
    !vm.known && (vm.owner ? l10n.t('made elsewhere by {0}', vm.owner) : l10n.t('made elsewhere')),
  ];
  return parts.filter((part) => part).join(' · ');
}

function stateText({ state, preempted }: VmView): string {
  return preempted && state === 'TERMINATED' ? l10n.t('taken away by Google') : state;
}

function endText({ delete_at, state }: VmView, now: number): string | undefined {
  if (!delete_at || state === 'DELETING') return undefined;
  const left = (Date.parse(delete_at) - now) / 1000;
  return left > 0 ? l10n.t('deleted in {0}', formatDuration(left)) : l10n.t('its time is up');
}

const since = (time: string | undefined, now: number): string =>
  time ? formatDuration((now - Date.parse(time)) / 1000) : '';

export function stageText(stage: VmStage): string {
  switch (stage) {
    case 'checking':
      return l10n.t('Checking');
    case 'creating':
      return l10n.t('Creating');
    case 'booting':
      return l10n.t('Booting');
    case 'host_key':
      return l10n.t('Reading its host key');
    case 'connecting':
      return l10n.t('Connecting');
    case 'driver':
      return l10n.t('Installing the driver');
    case 'installing':
      return l10n.t('Installing runner');
    case 'ready':
      return l10n.t('Ready');
  }
}

/** Rows of a name and a value. */
export function vmDetails(vm: VmView, now: number, locale: string): [string, string][] {
  const { gpu, cost, delete_at, delete_at_latest } = vm;
  const rows: [string, string | undefined][] = [
    [l10n.t('State'), stateText(vm)],
    [l10n.t('Problem'), vm.problem],
    [l10n.t('Machine'), [vm.machine_type, gpu && gpuText(gpu), modelText(vm)].filter(Boolean).join(', ')],
    [l10n.t('Project'), vm.project],
    [l10n.t('Zone'), vm.zone],
    [l10n.t('Made'), vm.created && formatAgo(Date.parse(vm.created), now, locale)],
    [l10n.t('Up for'), vm.started && vm.state === 'RUNNING' ? since(vm.started, now) : undefined],
    [l10n.t('Idle for'), idleText(vm)],
    [
      l10n.t('Cost'),
      cost
        ? l10n.t(
            '{0} so far, {1} an hour (prices of {2})',
            formatMoney(cost.usd),
            formatMoney(cost.usd_per_hour),
            cost.as_of,
          )
        : l10n.t('not known: set its price in tuneyard.gce.prices'),
    ],
    [l10n.t('Deleted'), delete_at && timeText(delete_at, locale)],
    [
      l10n.t('At the latest'),
      delete_at_latest && delete_at_latest !== delete_at ? timeText(delete_at_latest, locale) : undefined,
    ],
    [l10n.t('Made by'), vm.known ? undefined : (vm.owner ?? '?')],
  ];
  return rows.flatMap(([name, value]) => (value ? [[name, value] satisfies [string, string]] : []));
}

const modelText = ({ provisioning_model }: VmView): string =>
  provisioning_model === 'SPOT' ? l10n.t('spot') : l10n.t('on demand');

function idleText({ idle_seconds, idle_minutes }: VmView): string | undefined {
  if (idle_seconds === undefined) return undefined;
  const idle = formatDuration(idle_seconds);
  return idle_minutes ? l10n.t('{0}; it ends itself after {1} min', idle, idle_minutes) : idle;
}

const timeText = (time: string, locale: string): string =>
  new Date(time).toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'short' });
