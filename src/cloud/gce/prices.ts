/**
 * The table of what Google's machines cost (`prices.json`: dated, with its source), and what a person puts over it
 * (setting `tuneyard.gce.prices`). A figure that is in neither is not known, and is never guessed.
 */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import published from './prices.json';

/** US dollars as decimal strings, so that nothing is lost in reading them. */
export interface Price {
  on_demand?: string;
  spot?: string;
}

export interface PriceTable {
  /** ISO 8601 date. */
  as_of: string;
  source: string;
  /** By {@link priceKey}: an hour of CPU, memory, GPU and the local disks that come with the type. */
  machine_types: Record<string, { regions: Record<string, Price & Partial<Origin>> }>;
  /** A GB and month of 730 hours. */
  disks: Record<string, Record<string, string>>;
  external_ip_per_hour: Price;
}

/** Where a figure is from. */
interface Origin {
  as_of: string;
  source: string;
}

export const PRICES: PriceTable = published;

/** Where a person has set a price, this is its date and source. */
const SETTINGS = 'settings';

/** An n1 machine costs what it and its GPUs cost together: `n1-standard-8+1xnvidia-tesla-t4`. */
export function priceKey(machineType: string, accelerator?: { type: string; count: number }): string {
  return accelerator ? `${machineType}+${accelerator.count}x${accelerator.type}` : machineType;
}

/**
 * The table with a person's own figures over it, in the table's form; each may be a number or a decimal string.
 *
 * @throws `cloud_invalid` naming the key that is wrong
 */
export function withOwnPrices(own: unknown, table: PriceTable = PRICES): PriceTable {
  if (own === undefined || own === null) return table;
  const merged: PriceTable = structuredClone(table);
  const top = record(own, 'tuneyard.gce.prices');
  for (const [type, value] of entries(top, 'machine_types')) {
    const at = `machine_types.${type}`;
    merged.machine_types[type] ??= { regions: {} };
    for (const [region, price] of entries(record(value, at), 'regions', at)) {
      const place = `${at}.regions.${region}`;
      const origin = { as_of: SETTINGS, source: SETTINGS };
      merged.machine_types[type].regions[region] = {
        ...merged.machine_types[type].regions[region],
        ...priceOf(price, place),
        ...origin,
      };
    }
  }
  for (const [type, value] of entries(top, 'disks')) {
    const at = `disks.${type}`;
    merged.disks[type] ??= {};
    for (const [region, price] of Object.entries(record(value, at))) {
      merged.disks[type][region] = decimal(price, `${at}.${region}`);
    }
  }
  if (top.external_ip_per_hour !== undefined) {
    const address = priceOf(top.external_ip_per_hour, 'external_ip_per_hour');
    merged.external_ip_per_hour = { ...merged.external_ip_per_hour, ...address };
  }
  return merged;
}

function priceOf(value: unknown, at: string): Price {
  const { on_demand, spot } = record(value, at);
  return {
    ...(on_demand === undefined ? {} : { on_demand: decimal(on_demand, `${at}.on_demand`) }),
    ...(spot === undefined ? {} : { spot: decimal(spot, `${at}.spot`) }),
  };
}

function entries(parent: Record<string, unknown>, key: string, at?: string): [string, unknown][] {
  const value = parent[key];
  return value === undefined ? [] : Object.entries(record(value, at ? `${at}.${key}` : key));
}

function record(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wrong(at, l10n.t('an object'));
}

function decimal(value: unknown, at: string): string {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text === 'string' && /^\d{1,7}(\.\d{1,12})?$/.test(text)) return text;
  throw wrong(at, l10n.t('US dollars as a decimal number'));
}

function wrong(at: string, expected: string): TuneyardError {
  const sentence = l10n.t('The setting tuneyard.gce.prices has no {0} at {1}: correct it there.', expected, at);
  return new TuneyardError('cloud_invalid', sentence, { data: { reason: 'prices', key: at } });
}
