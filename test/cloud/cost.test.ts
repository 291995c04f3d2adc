/** Money is shown to the cent: what is shown must be what Google asks for. */
import { type Bill, costSoFar, expectedCost, hourlyPrice, type Rates, ratesOf } from '@host/cloud/cost';
import { PRICES, withOwnPrices } from '@host/cloud/gce/prices';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const HOUR = 3_600_000;
const L4_PAIR = { machine_type: 'g2-standard-24', region: 'us-central1', disk_type: 'pd-balanced' } as const;

function rates(query: Partial<Parameters<typeof ratesOf>[0]> = {}): Rates {
  const found = ratesOf({ ...L4_PAIR, provisioning_model: 'STANDARD', ...query });
  if ('missing' in found) throw new Error(found.missing);
  return found;
}

const bill = (more: Partial<Bill>): Bill => ({
  rates: rates(),
  disk_gb: 200,
  external_address: true,
  ran: [],
  disk_from: 0,
  ...more,
});

describe('what a VM has cost', () => {
  it('is machine, disk and address for the time they were there', () => {
    // 2.000832574 + 0.005 an hour, and 200 GB at 0.1 a month of 730 hours.
    const cost = costSoFar(bill({ ran: [{ from: 0 }] }), 2 * HOUR);
    expect(cost.micro_usd).toBe(Math.round((2.000832574 + 0.005 + 20 / 730) * 2 * 1e6));
    expect(cost.micro_usd_per_hour).toBe(Math.round((2.000832574 + 0.005 + 20 / 730) * 1e6));
  });

  it('counts a minute for every start, however short', () => {
    const ran = [
      { from: 0, to: 1 },
      { from: 100_000, to: 159_000 },
      { from: 200_000, to: 261_000 },
    ];
    const without = bill({ ran, external_address: false, disk_gb: 0, disk_to: 300_000 });
    expect(costSoFar(without, 300_000).micro_usd).toBe(Math.round((2.000832574 * (60 + 60 + 61) * 1e6) / 3600));
  });

  it('goes on for the disk of a VM that is stopped, and ends with it', () => {
    const stopped = bill({ ran: [{ from: 0, to: HOUR }] });
    expect(costSoFar(stopped, 731 * HOUR).micro_usd - costSoFar(stopped, HOUR).micro_usd).toBe(20_000_000);
    expect(costSoFar(stopped, HOUR).micro_usd_per_hour).toBe(Math.round((20 / 730) * 1e6));

    const gone = bill({ ran: [{ from: 0, to: HOUR }], disk_to: HOUR });
    expect(costSoFar(gone, 1000 * HOUR)).toEqual({
      micro_usd: costSoFar(stopped, HOUR).micro_usd,
      micro_usd_per_hour: 0,
    });
  });

  it('equals sums of fractions, whatever was run for however long', () => {
    const machines = Object.entries(PRICES.machine_types).flatMap(([machine_type, { regions }]) =>
      Object.keys(regions).map((region) => ({ machine_type, region })),
    );
    const history = fc.record({
      machine: fc.constantFrom(...machines),
      spot: fc.boolean(),
      address: fc.boolean(),
      disk_gb: fc.integer({ min: 10, max: 65_536 }),
      // Pauses and runs in turn, in milliseconds.
      times: fc.array(fc.tuple(fc.nat(1e7), fc.oneof(fc.nat(90_000), fc.nat(40 * 24 * HOUR))), { maxLength: 6 }),
    });
    fc.assert(
      fc.property(history, ({ machine: { machine_type, region }, spot, address, disk_gb, times }) => {
        const ran: Required<Bill['ran'][number]>[] = [];
        for (const [pause, run] of times) {
          const from = (ran.at(-1)?.to ?? 0) + pause;
          ran.push({ from, to: from + run });
        }
        const disk_to = ran.at(-1)?.to ?? 0;
        const made: Bill = {
          rates: rates({ machine_type, region, provisioning_model: spot ? 'SPOT' : 'STANDARD' }),
          ...{ disk_gb, external_address: address, ran, disk_from: 0, disk_to },
        };
        const price = PRICES.machine_types[machine_type]!.regions[region]![spot ? 'spot' : 'on_demand']!;
        const parts = [
          fraction(PRICES.disks['pd-balanced']![region]!, Math.ceil(disk_to / 1000) * disk_gb, 730 * 3600),
        ];
        for (const { from, to } of ran) {
          const seconds = Math.ceil((to - from) / 1000);
          parts.push(fraction(price, Math.max(60, seconds), 3600));
          if (address) parts.push(fraction(spot ? '0.0025' : '0.005', seconds, 3600));
        }
        expect(costSoFar(made, disk_to + HOUR).micro_usd).toBe(inMicro(parts));
      }),
    );
  });

  it('never shrinks with time', () => {
    let before = 0;
    for (let now = 0; now < 200_000; now += 777) {
      const { micro_usd } = costSoFar(bill({ ran: [{ from: 500 }] }), now);
      expect(micro_usd).toBeGreaterThanOrEqual(before);
      before = micro_usd;
    }
  });

  it('is what was expected of it, where it ran as long', () => {
    const seconds = 12 * 3600;
    const run = bill({ ran: [{ from: 0, to: seconds * 1000 }], disk_to: seconds * 1000 });
    expect(expectedCost(rates(), 200, true, seconds)).toBe(costSoFar(run, seconds * 1000).micro_usd);
  });
});

describe('prices', () => {
  it('are those of the table, with its date and source', () => {
    expect(hourlyPrice(rates({ provisioning_model: 'SPOT' }), 200)).toEqual({
      usd_per_hour: 0.787192,
      disk_usd_per_hour: 0.029897,
      region: 'us-central1',
      as_of: PRICES.as_of,
      source: PRICES.source,
    });
    expect(PRICES.as_of).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(PRICES.source).toContain('generated 2025-03-06');
  });

  it('are never guessed: what is not known says which setting would tell', () => {
    const unknown = ratesOf({ ...L4_PAIR, region: 'mars-north1', provisioning_model: 'SPOT' });
    expect(unknown).toEqual({
      missing: expect.stringContaining('machine_types.g2-standard-24.regions.mars-north1.spot'),
    });
    const disk = ratesOf({ ...L4_PAIR, disk_type: 'pd-ssd', provisioning_model: 'STANDARD' });
    expect(disk).toEqual({ missing: expect.stringContaining('disks.pd-ssd.us-central1') });
  });

  it("may be a person's own, and are shown as such", () => {
    const prices = withOwnPrices({
      machine_types: {
        'g2-standard-24': { regions: { 'us-central1': { spot: 0.5 } } },
        'n1-standard-8+1xnvidia-tesla-t4': { regions: { 'us-central1': { on_demand: '0.73' } } },
      },
      disks: { 'pd-ssd': { 'us-central1': '0.17' } },
    });
    const spot = rates({ provisioning_model: 'SPOT', disk_type: 'pd-ssd', prices });
    expect(spot).toMatchObject({ machine_per_hour: '0.5', disk_gb_per_month: '0.17', as_of: 'settings' });
    const t4 = { machine_type: 'n1-standard-8', accelerator: { type: 'nvidia-tesla-t4', count: 1 }, prices };
    expect(rates(t4).machine_per_hour).toBe('0.73');
    expect(rates().machine_per_hour).toBe('2.000832574');
  });

  it.each([
    [[], 'tuneyard.gce.prices'],
    [{ machine_types: { a: { regions: { b: { spot: 'cheap' } } } } }, 'machine_types.a.regions.b.spot'],
    [{ machine_types: { a: { regions: { b: { spot: -1 } } } } }, 'machine_types.a.regions.b.spot'],
    [{ machine_types: { a: { regions: 3 } } }, 'machine_types.a.regions'],
    [{ disks: { 'pd-ssd': { 'us-central1': '1e9' } } }, 'disks.pd-ssd.us-central1'],
  ])('that are wrong in the settings (%j) are told by their key', (own, key) => {
    expect(() => withOwnPrices(own)).toThrow(
      expect.objectContaining({ code: 'cloud_invalid', data: { reason: 'prices', key } }),
    );
  });
});

type Fraction = [bigint, bigint];

/** A decimal times an amount, divided: reckoned in another way than the product's. */
function fraction(price: string, amount: number, divisor: number): Fraction {
  const [whole, decimals = ''] = price.split('.');
  return [BigInt(whole + decimals) * BigInt(amount), 10n ** BigInt(decimals.length) * BigInt(divisor)];
}

function inMicro(parts: Fraction[]): number {
  const [top, bottom] = parts.reduce(([a, b], [c, d]): Fraction => {
    const sum: Fraction = [a * d + c * b, b * d];
    const common = gcd(...sum);
    return [sum[0] / common, sum[1] / common];
  });
  const scaled = top * 1_000_000n;
  const half = scaled % bottom;
  return Number(scaled / bottom) + (2n * half >= bottom ? 1 : 0);
}

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a || 1n : gcd(b, a % b));
