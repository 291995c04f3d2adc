/** What Google would charge, reckoned apart from the product, from the same table of prices. */
import { readFileSync } from 'node:fs';

interface PriceFile {
  machine_types: Record<string, { regions: Record<string, { on_demand?: string; spot?: string }> }>;
  disks: Record<string, Record<string, string>>;
  external_ip_per_hour: { on_demand?: string; spot?: string };
}

export interface Used {
  /** Key of the table: an n1 machine with its GPUs is one. */
  machine: string;
  region: string;
  spot: boolean;
  /** Milliseconds since 1970; one that runs has no end. */
  running: { from: number; to?: number }[];
  external: boolean;
  disk: { gb: number; type: string; from: number; to?: number };
}

const TABLE = JSON.parse(
  readFileSync(new URL('../../../src/cloud/gce/prices.json', import.meta.url), 'utf8'),
) as PriceFile;
const PICO = 12;
const HOUR = 3600n;
/** Hours that Google counts as a month. */
const MONTH_HOURS = 730n;

/** In millionths of a US dollar, rounded half up. */
export function billOf({ machine, region, spot, running, external, disk }: Used, now: number): number {
  const model = spot ? 'spot' : 'on_demand';
  const seconds = ({ from, to = now }: { from: number; to?: number }) => Math.max(0, Math.ceil((to - from) / 1000));
  const runs = running.map(seconds);
  const sum = (numbers: number[]) => BigInt(numbers.reduce((a, b) => a + b, 0));
  const machineSeconds = sum(runs.map((run) => Math.max(60, run)));
  const perHour = pico(TABLE.machine_types[machine]?.regions[region]?.[model]);
  const address = external ? sum(runs) * pico(TABLE.external_ip_per_hour[model]) : 0n;
  const stored = BigInt(seconds(disk)) * BigInt(disk.gb) * pico(TABLE.disks[disk.type]?.[region]);
  // Over a common denominator: price · seconds / 3600, and price · GB · seconds / (730 · 3600).
  const sumPico = (machineSeconds * perHour + address) * MONTH_HOURS + stored;
  const divisor = MONTH_HOURS * HOUR * 10n ** 6n;
  return Number((2n * sumPico + divisor) / (2n * divisor));
}

/** From dollars as a decimal string to millionths of millionths. */
function pico(price: string | undefined): bigint {
  if (price === undefined) throw new Error('the table has no such price');
  const [whole = '0', fraction = ''] = price.split('.');
  return BigInt(whole) * 10n ** BigInt(PICO) + BigInt(fraction.padEnd(PICO, '0').slice(0, PICO));
}
