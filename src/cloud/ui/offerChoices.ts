/** Offers as they are listed: one a machine where it is cheapest, what cannot be had now below, with why. */
import type { MachineOffer } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import { formatBytes } from '../../ui/format';
import { formatMoney, gpuText } from './vmLine';

export interface OfferGroups {
  /** On demand. */
  usable: MachineOffer[];
  spot: MachineOffer[];
  /** The same machines in other regions. */
  elsewhere: MachineOffer[];
  outOfQuota: MachineOffer[];
  tooSmall: MachineOffer[];
}

/** Within a group in the order that they came in: by price. */
export function groupOffers(offers: readonly MachineOffer[]): OfferGroups {
  const groups: OfferGroups = { usable: [], spot: [], elsewhere: [], outOfQuota: [], tooSmall: [] };
  const fitting = offers.filter(({ fits }) => fits);
  const usable = fitting.filter(({ quota }) => !quota);
  const best = firstOfEach(usable);
  groups.usable = best.filter((offer) => offer.provisioning_model !== 'SPOT');
  groups.spot = best.filter((offer) => offer.provisioning_model === 'SPOT');
  groups.elsewhere = usable.filter((offer) => !best.includes(offer));
  const isUsable = new Set(usable.map(machineKey));
  groups.outOfQuota = firstOfEach(fitting.filter((offer) => offer.quota && !isUsable.has(machineKey(offer))));
  groups.tooSmall = firstOfEach(offers.filter(({ fits }) => !fits));
  return groups;
}

const machineKey = ({ machine_type, gpu, provisioning_model }: MachineOffer): string =>
  [machine_type, gpu.type, gpu.count, provisioning_model].join(' ');

function firstOfEach(offers: readonly MachineOffer[]): MachineOffer[] {
  return [...new Map([...offers].reverse().map((offer) => [machineKey(offer), offer])).values()].reverse();
}

/** An hour with its disk and its address; undefined where it is not known. */
export const hourlyCost = ({ price }: MachineOffer): number | undefined =>
  price && price.usd_per_hour + price.disk_usd_per_hour;

export function offerText(
  offer: MachineOffer,
  neededBytes: number | undefined,
): { label: string; description: string; detail: string } {
  const { gpu, machine_type, cpus, memory_bytes, provisioning_model, region, zones, quota, fits, price_missing } =
    offer;
  const cost = hourlyCost(offer);
  const description = [
    cost === undefined ? l10n.t('price not known') : l10n.t('{0}/h', formatMoney(cost)),
    provisioning_model === 'SPOT' ? l10n.t('spot') : l10n.t('on demand'),
    region,
  ];
  const needed = neededBytes === undefined ? undefined : formatBytes(neededBytes);
  const detail = [
    needed && (fits ? l10n.t('✓ fits, needs {0}', needed) : l10n.t('✗ does not fit, needs {0}', needed)),
    quota && l10n.t('✗ quota {0} ({1}): {2} of {3} used', quota.metric, quota.region, quota.usage, quota.limit),
    machine_type,
    l10n.t('{0} cores', cpus),
    // As Google's own tables have it.
    l10n.t('{0} RAM', `${Math.round(memory_bytes / 2 ** 30)} GB`),
    zones.join(', '),
    cost === undefined && price_missing,
  ];
  return {
    label: `${gpuText(gpu)} · ${gpuMemory(gpu)}`,
    description: description.join(' · '),
    detail: detail.filter((part) => part).join(' · '),
  };
}

const gpuMemory = ({ count, memory_bytes }: MachineOffer['gpu']): string =>
  `${Math.round((count * memory_bytes) / 1e9)} GB`;

/** Zones in the order in which they are tried: those of the chosen region, then where the same machine costs no more. */
export function zonesToTry(offers: readonly MachineOffer[], chosen: MachineOffer): string[] {
  const limit = hourlyCost(chosen);
  const others = offers.filter((offer) => {
    const cost = hourlyCost(offer);
    const isSame = machineKey(offer) === machineKey(chosen) && offer.region !== chosen.region && !offer.quota;
    return isSame && limit !== undefined && cost !== undefined && cost <= limit;
  });
  return [...new Set([...chosen.zones, ...others.flatMap(({ zones }) => zones)])];
}

export interface Order {
  name: string;
  project: string;
  offer: MachineOffer;
  zones: readonly string[];
  disk_gb: number;
  seconds: number;
  idle_minutes: number;
  idle_action: 'delete' | 'stop';
  end_after_last_run: boolean;
  artifacts: 'fetch' | 'snapshot' | 'bucket';
  /** What the run will roughly take. */
  expectedSeconds?: number;
}

/** The one question before it costs: all figures. */
export function orderText(order: Order, span: (seconds: number) => string): { question: string; detail: string } {
  const { offer, seconds } = order;
  const { gpu, price } = offer;
  const hourly = hourlyCost(offer);
  const costOf = (time: number) => formatMoney(((hourly ?? 0) * time) / 3600);
  const expected = order.expectedSeconds;
  const lines = [
    [
      gpuText(gpu),
      l10n.t('{0} GPU memory', gpuMemory(gpu)),
      offer.machine_type,
      l10n.t('{0} GB disk', order.disk_gb),
      offer.provisioning_model === 'SPOT' ? l10n.t('spot: Google may take it away at any time') : l10n.t('on demand'),
    ].join(' · '),
    l10n.t('Project {0}; zones, in this order: {1}', order.project, order.zones.join(', ')),
    '',
    ...(hourly === undefined || !price
      ? [l10n.t('What it costs is not known. {0}', offer.price_missing ?? '').trim()]
      : [
          l10n.t(
            'Price: {0} an hour, with disk and address ({1}, {2})',
            formatMoney(hourly),
            sourceText(price.source),
            price.as_of,
          ),
          ...(expected === undefined
            ? []
            : [
                expected > seconds
                  ? l10n.t(
                      'Expected: the run takes roughly {0}, which is longer than the VM is to be there',
                      span(expected),
                    )
                  : l10n.t('Expected: {0}, as the run takes roughly {1}', costOf(expected), span(expected)),
              ]),
          l10n.t('At most: {0}, as it is deleted after {1} whatever happens', costOf(seconds), span(seconds)),
        ]),
    ...(hourly === undefined ? [l10n.t('It is deleted after {0} whatever happens', span(seconds))] : []),
    endText(order),
  ];
  return {
    question:
      hourly === undefined
        ? l10n.t('Make {0}?', order.name)
        : l10n.t('Make {0} for {1} an hour?', order.name, formatMoney(hourly)),
    detail: lines.join('\n'),
  };
}

function endText(order: Order): string {
  const { idle_minutes, idle_action, end_after_last_run, artifacts } = order;
  const safe =
    artifacts === 'fetch'
      ? l10n.t('once its results are fetched')
      : artifacts === 'snapshot'
        ? l10n.t('once its disk is kept as a snapshot')
        : l10n.t('once its results are in the bucket');
  const idle =
    idle_minutes === 0
      ? undefined
      : idle_action === 'stop'
        ? l10n.t('It stops itself after {0} idle minutes, {1}', idle_minutes, safe)
        : l10n.t('It ends itself after {0} idle minutes, {1}', idle_minutes, safe);
  const last = end_after_last_run ? l10n.t('It ends itself after the last run, {0}', safe) : undefined;
  return [idle ?? l10n.t('It does not end itself when it is idle'), last].filter((line) => line).join('\n');
}

/** A link is long, and its host says whose it is. */
function sourceText(source: string): string {
  try {
    return new URL(source).hostname;
  } catch {
    return source === 'settings' ? l10n.t('your settings') : source;
  }
}
