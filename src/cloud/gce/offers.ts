/** Which machines with GPUs there are, where, at what price, and whether the project may use them. */
import type { MachineGpu, MachineOffer, OfferQuery, ProvisioningModel } from '@protocol/cloud';
import { hourlyPrice, ratesOf } from '../cost';
import type { Api } from './api';
import { GPUS, SPOT_ONLY } from './gpus';
import { regionOf } from './instances';
import type { AcceleratorType, MachineType } from './messages';
import type { PriceTable } from './prices';
import { type Quotas, readQuotas, shortageOf } from './quotas';

const MIB = 2 ** 20;
/** Regular expressions of Google's: they hold for the whole name. All machine types of all zones would be 100,000. */
const MACHINE_TYPES = 'name eq "(g2|a2|a3)-.*|n1-standard-.*"';
const ACCELERATORS = 'name eq "nvidia-tesla-(t4|v100)"';
const PAGE = 500;

/** A machine type with its GPUs, and the zones that have both. */
interface Machine {
  type: string;
  /** The n1 machines say nothing of their GPUs. */
  attached: boolean;
  cpus: number;
  memoryMib: number;
  gpu: MachineGpu;
  zones: Set<string>;
}

export async function readOffers(
  api: Api,
  query: OfferQuery,
  prices: PriceTable,
  signal?: AbortSignal,
): Promise<MachineOffer[]> {
  const { project } = query;
  const [quotas, types, accelerators] = await Promise.all([
    readQuotas(api, project, signal),
    aggregated(api, project, 'machineTypes', MACHINE_TYPES, signal),
    aggregated(api, project, 'acceleratorTypes', ACCELERATORS, signal),
  ]);
  const machines = new Map<string, Machine>();
  for (const [zone, list] of types) {
    for (const type of list) addMachine(machines, zone, type, accelerators.get(zone) ?? []);
  }
  const offers = [...machines.values()].flatMap((machine) => offersOf(machine, query, prices, quotas));
  return offers.sort(byWorth);
}

type Listed = { machineTypes: MachineType; acceleratorTypes: AcceleratorType };

/** By zone. A zone that does not answer has no offers today. */
async function aggregated<Kind extends keyof Listed>(
  api: Api,
  project: string,
  kind: Kind,
  filter: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, Listed[Kind][]>> {
  const request = { project, filter, maxResults: PAGE, returnPartialSuccess: true };
  return api.call(
    { project },
    async (google, options) => {
      const found = new Map<string, Listed[Kind][]>();
      for await (const [scope, scoped] of google[kind].aggregatedListAsync(request, options)) {
        const list = (scoped as { [Key in Kind]?: Listed[Kind][] | null })[kind] ?? [];
        const zone = scope.replace(/^zones\//, '');
        found.set(zone, [...(found.get(zone) ?? []), ...list]);
      }
      return found;
    },
    { signal },
  );
}

function addMachine(machines: Map<string, Machine>, zone: string, type: MachineType, loose: AcceleratorType[]): void {
  const { name, guestCpus, memoryMb, accelerators, deprecated } = type;
  if (!name || !guestCpus || !memoryMb || deprecated?.state) return;
  const add = (gpu: (typeof GPUS)[number] | undefined, count: number, attached: boolean) => {
    if (!gpu || !count) return;
    const key = `${name} ${gpu.type} ${count}`;
    const machine = machines.get(key) ?? {
      type: name,
      attached,
      cpus: guestCpus,
      memoryMib: memoryMb,
      gpu: { type: gpu.type, name: gpu.name, count, memory_bytes: gpu.memoryMib * MIB },
      zones: new Set<string>(),
    };
    machine.zones.add(zone);
    machines.set(key, machine);
  };
  for (const { guestAcceleratorType, guestAcceleratorCount } of accelerators ?? []) {
    const gpu = GPUS.find((known) => known.type === guestAcceleratorType);
    add(gpu, guestAcceleratorCount ?? 0, false);
  }
  for (const gpu of GPUS) {
    const most = loose.find((accelerator) => accelerator.name === gpu.type)?.maximumCardsPerInstance ?? 0;
    for (const [count, machine] of Object.entries(gpu.n1 ?? {})) {
      if (machine === name && Number(count) <= most) add(gpu, Number(count), true);
    }
  }
}

function offersOf(machine: Machine, query: OfferQuery, prices: PriceTable, quotas: Quotas): MachineOffer[] {
  const regions = new Map<string, string[]>();
  for (const zone of [...machine.zones].sort()) {
    const region = regionOf(zone);
    regions.set(region, [...(regions.get(region) ?? []), zone]);
  }
  const models: ProvisioningModel[] = SPOT_ONLY.has(machine.type) ? ['SPOT'] : ['STANDARD', 'SPOT'];
  const wanted = [...regions].filter(([region]) => !query.regions?.length || query.regions.includes(region));
  return wanted.flatMap(([region, zones]) => models.map((model) => offer(machine, model, region, zones)));

  function offer(
    { type, cpus, gpu, memoryMib, attached }: Machine,
    model: ProvisioningModel,
    region: string,
    zones: string[],
  ) {
    const rates = ratesOf({
      machine_type: type,
      ...(attached ? { accelerator: { type: gpu.type, count: gpu.count } } : {}),
      provisioning_model: model,
      region,
      disk_type: query.disk_type ?? 'pd-balanced',
      prices,
    });
    const shortage = shortageOf(quotas, { project: query.project, region, machineType: type, cpus, gpu, model });
    return {
      machine_type: type,
      cpus,
      memory_bytes: memoryMib * MIB,
      gpu,
      provisioning_model: model,
      region,
      zones,
      ...('missing' in rates ? { price_missing: rates.missing } : { price: hourlyPrice(rates, query.disk_gb ?? 200) }),
      ...(shortage ? { quota: shortage } : {}),
      // A run computes on one GPU: what fits into several together does not fit.
      fits: gpu.memory_bytes >= (query.gpu_memory_bytes ?? 0),
    };
  }
}

/** Those that can be used first, then by price; what is not known comes after what is. */
function byWorth(a: MachineOffer, b: MachineOffer): number {
  return (
    Number(b.fits) - Number(a.fits) ||
    Number(a.quota !== undefined) - Number(b.quota !== undefined) ||
    total(a) - total(b) ||
    a.gpu.count * a.gpu.memory_bytes - b.gpu.count * b.gpu.memory_bytes ||
    a.machine_type.localeCompare(b.machine_type) ||
    a.region.localeCompare(b.region) ||
    a.provisioning_model.localeCompare(b.provisioning_model)
  );
}

const total = ({ price }: MachineOffer): number =>
  price ? price.usd_per_hour + price.disk_usd_per_hour : Number.MAX_VALUE;
