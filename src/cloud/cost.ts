/**
 * What a VM costs, exactly: sums of fractions in whole numbers, rounded once, half up, to a micro-dollar.
 *
 *   compute   Σ over the times it ran: max(60, ⌈seconds⌉) · price an hour / 3600
 *   address   Σ over the same times: ⌈seconds⌉ · price an hour / 3600
 *   disk      ⌈seconds it has existed⌉ · GB · price a GB and month / (730 · 3600)
 */
import type { MachineOffer, ProvisioningModel } from '@protocol/cloud';
import * as l10n from '@vscode/l10n';
import { PRICES, type PriceTable, priceKey } from './gce/prices';

/** The prices that hold for one VM, kept in its record, so that a newer table does not change what it has cost. */
export interface Rates {
  /** US dollars as decimal strings. */
  machine_per_hour: string;
  disk_gb_per_month: string;
  address_per_hour: string;
  region: string;
  as_of: string;
  source: string;
}

interface RatesQuery {
  machine_type: string;
  /** Only for n1. */
  accelerator?: { type: string; count: number };
  provisioning_model: ProvisioningModel;
  region: string;
  disk_type: string;
  prices?: PriceTable;
}

/** The prices of a VM, or a sentence on what is not known of them and how it is set. */
export function ratesOf(query: RatesQuery): Rates | { missing: string } {
  const table = query.prices ?? PRICES;
  const key = priceKey(query.machine_type, query.accelerator);
  const model = query.provisioning_model === 'SPOT' ? 'spot' : 'on_demand';
  const entry = table.machine_types[key]?.regions[query.region];
  const machine = entry?.[model];
  if (!machine) return { missing: notKnown(`machine_types.${key}.regions.${query.region}.${model}`) };
  const disk = table.disks[query.disk_type]?.[query.region];
  if (!disk) return { missing: notKnown(`disks.${query.disk_type}.${query.region}`) };
  const address = table.external_ip_per_hour[model];
  if (!address) return { missing: notKnown(`external_ip_per_hour.${model}`) };
  return {
    machine_per_hour: machine,
    disk_gb_per_month: disk,
    address_per_hour: address,
    region: query.region,
    as_of: entry.as_of ?? table.as_of,
    source: entry.source ?? table.source,
  };
}

function notKnown(key: string): string {
  return l10n.t('The price is not known here: set {0} in the setting tuneyard.gce.prices.', key);
}

/** All that a bill depends on. Times are milliseconds since 1970. */
export interface Bill {
  rates: Rates;
  disk_gb: number;
  external_address: boolean;
  /** When it ran; the last without `to` while it does. */
  ran: { from: number; to?: number }[];
  /** The boot disk costs while it exists, running or not. */
  disk_from: number;
  disk_to?: number;
}

/** Micro-dollars: whole numbers. */
export interface Cost {
  micro_usd: number;
  /** At this moment: with the disk alone where it does not run, 0 where it is gone. */
  micro_usd_per_hour: number;
}

export function costSoFar(bill: Bill, now: number): Cost {
  const machine = pico(bill.rates.machine_per_hour);
  const address = bill.external_address ? pico(bill.rates.address_per_hour) : 0n;
  const disk = pico(bill.rates.disk_gb_per_month) * BigInt(bill.disk_gb);

  let total = 0n;
  for (const { from, to } of bill.ran) {
    const seconds = wholeSeconds(from, to ?? now);
    total += HOURS_A_MONTH * (machine * max(seconds, MINIMUM_SECONDS) + address * seconds);
  }
  total += disk * wholeSeconds(bill.disk_from, bill.disk_to ?? now);

  const running = bill.ran.some(({ to }) => to === undefined);
  const hour = (running ? HOURS_A_MONTH * (machine + address) : 0n) + (bill.disk_to === undefined ? disk : 0n);
  return { micro_usd: micro(total), micro_usd_per_hour: micro(hour * SECONDS_AN_HOUR) };
}

/** Of a VM that runs for so long and is deleted then: micro-dollars. */
export function expectedCost(rates: Rates, diskGb: number, externalAddress: boolean, seconds: number): number {
  const to = seconds * 1000;
  const bill = { rates, disk_gb: diskGb, external_address: externalAddress, ran: [{ from: 0, to }] };
  return costSoFar({ ...bill, disk_from: 0, disk_to: to }, to).micro_usd;
}

/** What an hour of an offer costs, as it is shown. */
export function hourlyPrice(rates: Rates, diskGb: number): NonNullable<MachineOffer['price']> {
  const { region, as_of, source } = rates;
  const disk = pico(rates.disk_gb_per_month) * BigInt(diskGb) + HOURS_A_MONTH * pico(rates.address_per_hour);
  return {
    usd_per_hour: micro(HOURS_A_MONTH * pico(rates.machine_per_hour) * SECONDS_AN_HOUR) / 1e6,
    disk_usd_per_hour: micro(disk * SECONDS_AN_HOUR) / 1e6,
    region,
    as_of,
    source,
  };
}

const MINIMUM_SECONDS = 60n;
const SECONDS_AN_HOUR = 3600n;
const HOURS_A_MONTH = 730n;
/** Decimals of a price that are read. */
const DECIMALS = 12;

/** A decimal string in units of 10⁻¹² dollars. */
function pico(price: string): bigint {
  const [whole = '0', fraction = ''] = price.split('.');
  return BigInt(whole) * 10n ** BigInt(DECIMALS) + BigInt(fraction.slice(0, DECIMALS).padEnd(DECIMALS, '0'));
}

function wholeSeconds(from: number, to: number): bigint {
  return BigInt(Math.max(0, Math.ceil((to - from) / 1000)));
}

/** From units of 10⁻¹² dollars · seconds · hours a month. */
function micro(total: bigint): number {
  const unit = 10n ** BigInt(DECIMALS - 6) * SECONDS_AN_HOUR * HOURS_A_MONTH;
  return Number((2n * total + unit) / (2n * unit));
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
