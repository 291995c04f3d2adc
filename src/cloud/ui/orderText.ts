/** The one question before a VM costs: all figures, and what exactly ends it. */
import type { CreateVm, MachineOffer } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import { maxRunSeconds } from '../timeLimit';
import { gpuMemory, hourlyCost } from './offerChoices';
import { formatMoney, gpuText } from './vmLine';

export interface Order {
  create: CreateVm;
  offer: MachineOffer;
  /** What the run will roughly take; absent where there is no run, or it cannot be told. */
  expectedSeconds?: number | undefined;
  now: number;
  span(seconds: number): string;
}

const DAY_MS = 86_400_000;
/** Google changes prices some times a year. */
const OLD_DAYS = 180;

export function orderText(order: Order): { question: string; detail: string } {
  const { create, offer } = order;
  const name = create.name ?? '';
  const hourly = hourlyCost(offer);
  const lines = [
    [
      gpuText(offer.gpu),
      l10n.t('{0} GPU memory', gpuMemory(offer.gpu)),
      offer.machine_type,
      l10n.t('{0} GB disk', create.disk_gb ?? 200),
      isSpot(create) ? l10n.t('spot: Google may take it away at any time') : l10n.t('on demand'),
    ].join(' · '),
    l10n.t('Project {0}; zones, in this order: {1}', create.project, create.zones.join(', ')),
    '',
    ...costLines(order, hourly),
    '',
    ...endLines(order),
  ];
  return {
    question:
      hourly === undefined ? l10n.t('Make {0}?', name) : l10n.t('Make {0} for {1} an hour?', name, formatMoney(hourly)),
    detail: lines.join('\n'),
  };
}

const isSpot = ({ provisioning_model }: CreateVm): boolean => provisioning_model === 'SPOT';

function costLines({ create, offer, expectedSeconds, now, span }: Order, hourly: number | undefined): string[] {
  const { price, price_missing } = offer;
  if (hourly === undefined || !price) return [l10n.t('What it costs is not known. {0}', price_missing ?? '').trim()];
  const seconds = create.max_run_seconds ?? 0;
  const most = maxRunSeconds(seconds);
  const costOf = (time: number) => formatMoney((hourly * time) / 3600);
  const source = price.source === 'settings' ? l10n.t('your settings') : (price.source.split(/[(;]/)[0] ?? '').trim();
  return [
    l10n.t('Price: {0} an hour, with disk and address ({1}, {2})', formatMoney(hourly), source, price.as_of),
    ...(now - Date.parse(price.as_of) > OLD_DAYS * DAY_MS
      ? [l10n.t('That price is old: see whether it still holds. The bill is Google’s.')]
      : []),
    ...(expectedSeconds === undefined
      ? []
      : [
          expectedSeconds > seconds
            ? l10n.t('Expected: the run takes roughly {0}, longer than the VM is to be there', span(expectedSeconds))
            : l10n.t('Expected: {0}, as the run takes roughly {1}', costOf(expectedSeconds), span(expectedSeconds)),
        ]),
    l10n.t('Its whole time, {0}: {1}', span(seconds), costOf(seconds)),
    l10n.t('At most: {0}, when only Google’s own limit ends it, after {1}', costOf(most), span(most)),
  ];
}

/** Without an account of its own it cannot delete itself, but switch itself off. */
function endLines({ create, span }: Order): string[] {
  const { idle_minutes = 0, idle_action, end_after_last_run, service_account = 'none', max_run_seconds = 0 } = create;
  const keptAtLimit = isSpot(create) && create.artifacts?.kind !== 'bucket';
  const goes = idle_action === 'stop' || service_account === 'none';
  const safe = safeText(create);
  const idle =
    idle_minutes === 0
      ? l10n.t('It does not end itself when it is idle')
      : goes
        ? l10n.t('It switches itself off after {0} idle minutes, {1}', idle_minutes, safe)
        : l10n.t('It deletes itself after {0} idle minutes, {1}', idle_minutes, safe);
  const last = goes
    ? l10n.t('It switches itself off after the last run, {0}', safe)
    : l10n.t('It deletes itself after the last run, {0}', safe);
  const deletedLater =
    service_account === 'none' && idle_action !== 'stop'
      ? l10n.t(
          'It has no service account to delete itself with: once it is off, Tuneyard deletes it as soon as it looks again. Its disk costs until then.',
        )
      : undefined;
  return [
    idle,
    end_after_last_run && last,
    l10n.t('It ends itself after {0}, whatever it does', span(max_run_seconds)),
    keptAtLimit && l10n.t('At its own limit, Google stops it and keeps its disk, from which the run goes on'),
    deletedLater,
  ].filter((line): line is string => Boolean(line));
}

function safeText({ artifacts }: CreateVm): string {
  switch (artifacts?.kind) {
    case 'snapshot':
      return l10n.t('once its disk is kept as a snapshot');
    case 'bucket':
      return l10n.t('once its results are in the bucket');
    default:
      return l10n.t('once its results are fetched');
  }
}
