/** What a person chooses from: machines that hold the run, that they may use, at a price that is known or said not to be. */
import { type GceProvider, gceProvider } from '@host/cloud/gce/gceProvider';
import type { MachineOffer, OfferQuery } from '@protocol/cloud';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, type Answers, answers } from './gceAnswers';

const GIB = 2 ** 30;

let google: Answers | undefined;
afterEach(() => google?.close());

interface Quota {
  metric: string;
  limit: number;
  usage?: number;
}

interface World {
  project?: Quota[];
  regions?: Record<string, Quota[]>;
}

const PLENTY: Required<World> = {
  project: [{ metric: 'GPUS_ALL_REGIONS', limit: 16 }],
  regions: {
    'us-central1': [
      { metric: 'NVIDIA_L4_GPUS', limit: 8 },
      { metric: 'PREEMPTIBLE_NVIDIA_L4_GPUS', limit: 8 },
      { metric: 'NVIDIA_T4_GPUS', limit: 4 },
      { metric: 'CPUS', limit: 24 },
    ],
    'europe-west4': [
      { metric: 'NVIDIA_L4_GPUS', limit: 1 },
      { metric: 'PREEMPTIBLE_NVIDIA_L4_GPUS', limit: 0 },
    ],
  },
};

const machine = (name: string, guestCpus: number, memoryGb: number, gpu?: [string, number], more: object = {}) => ({
  name,
  guestCpus,
  memoryMb: memoryGb * 1024,
  ...(gpu ? { accelerators: [{ guestAcceleratorType: gpu[0], guestAcceleratorCount: gpu[1] }] } : {}),
  ...more,
});

const L4 = [
  machine('g2-standard-4', 4, 16, ['nvidia-l4', 1]),
  machine('g2-standard-24', 24, 96, ['nvidia-l4', 2]),
  machine('g2-standard-96', 96, 384, ['nvidia-l4', 8]),
];

/** Two pages, as Google gives them. */
const MACHINE_TYPES: Record<string, object>[] = [
  {
    'zones/us-central1-a': {
      machineTypes: [...L4, machine('n1-standard-8', 8, 30), machine('n1-standard-32', 32, 120)],
    },
    'zones/us-central1-f': { machineTypes: [machine('n1-standard-8', 8, 30)], warning: { code: 'NO_RESULTS_ON_PAGE' } },
  },
  {
    'zones/us-central1-b': { machineTypes: L4 },
    'zones/europe-west4-a': {
      machineTypes: [
        L4[1],
        machine('a3-highgpu-1g', 26, 234, ['nvidia-h100-80gb', 1]),
        machine('a2-highgpu-1g', 12, 85, ['nvidia-tesla-a100', 1], { deprecated: { state: 'DEPRECATED' } }),
        machine('g2-next', 4, 16, ['nvidia-unheard-of', 1]),
      ],
    },
  },
];

async function offers(query: Partial<OfferQuery> = {}, world: World = {}, prices?: unknown): Promise<MachineOffer[]> {
  const { project, regions } = { ...PLENTY, ...world };
  google = await answers(({ path, query: asked }): Answer => {
    if (path === 'p') return { body: { name: 'p', quotas: project } };
    if (path === 'p/regions') {
      return { body: { items: Object.entries(regions).map(([name, quotas]) => ({ name, quotas })) } };
    }
    if (path === 'p/aggregated/machineTypes') {
      const page = Number(asked.get('pageToken') ?? 0);
      return { body: { items: MACHINE_TYPES[page], ...(page === 0 ? { nextPageToken: '1' } : {}) } };
    }
    if (path === 'p/aggregated/acceleratorTypes') {
      const acceleratorTypes = [{ name: 'nvidia-tesla-t4', maximumCardsPerInstance: 4 }];
      return { body: { items: { 'zones/us-central1-a': { acceleratorTypes } } } };
    }
    return { status: 404, body: {} };
  });
  const gce: GceProvider = gceProvider({
    ...{ endpoint: google.endpoint, credentialsFile: google.keyFile, env: {}, firstPause: 1, prices },
  });
  return gce.offers({ project: 'p', ...query });
}

const name = (offer: MachineOffer) =>
  `${offer.machine_type} ${offer.gpu.count}×${offer.gpu.name} ${offer.region} ${offer.provisioning_model}`;
const find = (all: MachineOffer[], words: string) => all.find((offer) => name(offer) === words);

describe('machines are offered', () => {
  it('with all their zones of a region, whichever page they came on', async () => {
    const all = await offers();
    expect(find(all, 'g2-standard-24 2×L4 us-central1 STANDARD')).toEqual({
      machine_type: 'g2-standard-24',
      cpus: 24,
      memory_bytes: 96 * GIB,
      gpu: { type: 'nvidia-l4', name: 'L4', count: 2, memory_bytes: 23034 * 2 ** 20 },
      provisioning_model: 'STANDARD',
      region: 'us-central1',
      zones: ['us-central1-a', 'us-central1-b'],
      price: expect.objectContaining({ usd_per_hour: 2.000833, disk_usd_per_hour: 0.032397, as_of: '2025-03-06' }),
      fits: true,
    });
  });

  it('but no old ones, none with a GPU that is not known, and such as Google lends only on the spot only so', async () => {
    const names = (await offers()).map(name);
    expect(names.filter((one) => /a2-|g2-next/.test(one))).toEqual([]);
    expect(names.filter((one) => one.startsWith('a3-'))).toEqual(['a3-highgpu-1g 1×H100 europe-west4 SPOT']);
  });

  it('n1 with the GPUs that its zone has, priced only where a person says so', async () => {
    const t4 = 'n1-standard-8 1×T4 us-central1 STANDARD';
    const all = await offers();
    const found = find(all, t4);
    expect(found?.zones).toEqual(['us-central1-a']);
    expect(found?.price).toBeUndefined();
    expect(found?.price_missing).toContain('n1-standard-8+1xnvidia-tesla-t4.regions.us-central1.on_demand');
    expect(find(all, 'n1-standard-32 4×T4 us-central1 STANDARD')).toBeDefined();
    google?.close();

    const own = {
      machine_types: { 'n1-standard-8+1xnvidia-tesla-t4': { regions: { 'us-central1': { on_demand: 0.73 } } } },
    };
    const priced = find(await offers({}, {}, own), t4);
    expect(priced?.price).toMatchObject({ usd_per_hour: 0.73, as_of: 'settings', source: 'settings' });
  });

  it('those that hold the run and may be used first, the cheapest of them at the top', async () => {
    const all = await offers({ gpu_memory_bytes: 40 * GIB });
    const usable = all.filter(({ fits, quota }) => fits && !quota);
    expect(all.slice(0, usable.length)).toEqual(usable);
    // Two GPUs of 24 GB hold no run of 40: it computes on one.
    expect(name(all[0]!)).toBe('a3-highgpu-1g 1×H100 europe-west4 SPOT');
    const costs = usable.map(({ price }) => (price ? price.usd_per_hour + price.disk_usd_per_hour : Infinity));
    expect(costs).toEqual([...costs].sort((a, b) => a - b));
    expect(all.filter(({ gpu }) => gpu.memory_bytes < 40 * GIB).every(({ fits }) => !fits)).toBe(true);
    expect(all.at(-1)?.fits).toBe(false);
  });

  it('of the regions that were asked for', async () => {
    const all = await offers({ regions: ['europe-west4'], disk_gb: 730 });
    expect(new Set(all.map(({ region }) => region))).toEqual(new Set(['europe-west4']));
    expect(find(all, 'g2-standard-24 2×L4 europe-west4 STANDARD')?.price?.disk_usd_per_hour).toBe(0.115);
  });

  it('asking Google for GPU machines alone: all of them would be a hundred thousand', async () => {
    await offers();
    const [request] = google!.asked.filter(({ path }) => path.endsWith('machineTypes'));
    expect(request!.query.get('filter')).toBe('name eq "(g2|a2|a3)-.*|n1-standard-.*"');
  });
});

describe('a quota that does not allow it is told before anything is asked for', () => {
  it('with the page on which it is raised, where a new project may use no GPU', async () => {
    const all = await offers({}, { project: [{ metric: 'GPUS_ALL_REGIONS', limit: 0 }] });
    expect(all.length).toBeGreaterThan(0);
    for (const { quota, gpu } of all) {
      const { url, ...shortage } = quota!;
      expect(shortage).toEqual({ metric: 'GPUS_ALL_REGIONS', region: 'global', limit: 0, usage: 0, needed: gpu.count });
      expect(url).toMatch(/^https:\/\/console\.cloud\.google\.com\/iam-admin\/quotas\?project=p/);
    }
  });

  it('where the GPUs of a region are used up', async () => {
    const regions = { 'us-central1': [{ metric: 'NVIDIA_L4_GPUS', limit: 2, usage: 1 }] };
    const all = await offers({}, { regions });
    expect(find(all, 'g2-standard-4 1×L4 us-central1 STANDARD')?.quota).toBeUndefined();
    expect(find(all, 'g2-standard-24 2×L4 us-central1 STANDARD')?.quota).toMatchObject({
      ...{ metric: 'NVIDIA_L4_GPUS', region: 'us-central1', limit: 2, usage: 1, needed: 2 },
    });
  });

  it('where spot VMs have a quota of their own', async () => {
    const regions = {
      'us-central1': [
        { metric: 'NVIDIA_L4_GPUS', limit: 8 },
        { metric: 'PREEMPTIBLE_NVIDIA_L4_GPUS', limit: 0 },
      ],
    };
    const all = await offers({}, { regions });
    expect(find(all, 'g2-standard-24 2×L4 us-central1 STANDARD')?.quota).toBeUndefined();
    expect(find(all, 'g2-standard-24 2×L4 us-central1 SPOT')?.quota?.metric).toBe('PREEMPTIBLE_NVIDIA_L4_GPUS');
  });

  it('and not where a VM that deletes itself may use the other one', async () => {
    const regions = {
      'us-central1': [
        { metric: 'NVIDIA_L4_GPUS', limit: 0 },
        { metric: 'PREEMPTIBLE_NVIDIA_L4_GPUS', limit: 8 },
      ],
    };
    expect(find(await offers({}, { regions }), 'g2-standard-24 2×L4 us-central1 STANDARD')?.quota).toBeUndefined();
  });

  it('where the CPUs do not suffice', async () => {
    const short = find(await offers(), 'n1-standard-32 4×T4 us-central1 STANDARD')?.quota;
    expect(short).toMatchObject({ metric: 'CPUS', limit: 24, needed: 32 });
  });
});
