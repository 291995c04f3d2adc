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

export const gpuMemory = ({ count, memory_bytes }: MachineOffer['gpu']): string =>
  `${Math.round((count * memory_bytes) / 1e9)} GB`;
