/** What a project may use: read before anything is asked for, so that a refusal is explained before it comes. */
import type { MachineGpu, ProvisioningModel, QuotaShortage } from '@protocol/cloud';
import type { Api } from './api';
import { GPUS } from './gpus';
import type { Project, Quota, Region } from './messages';
import { quotaPage } from './pages';

export interface Quotas {
  project: Map<string, Quota>;
  regions: Map<string, Map<string, Quota>>;
}

export async function readQuotas(api: Api, project: string, signal?: AbortSignal): Promise<Quotas> {
  const doing = { project };
  const [[ofProject], regions] = await Promise.all([
    api.call(doing, (google, options): Promise<[Project, ...unknown[]]> => google.projects.get({ project }, options), {
      signal,
    }),
    api.call(
      doing,
      async (google, options) => {
        const found: Region[] = [];
        for await (const region of google.regions.listAsync({ project }, options)) found.push(region);
        return found;
      },
      { signal },
    ),
  ]);
  return {
    project: byMetric(ofProject.quotas),
    regions: new Map(regions.map(({ name, quotas }) => [name ?? '', byMetric(quotas)])),
  };
}

const byMetric = (quotas: Quota[] | null | undefined): Map<string, Quota> =>
  new Map((quotas ?? []).map((quota) => [quota.metric ?? '', quota]));

interface Wanted {
  project: string;
  region: string;
  machineType: string;
  cpus: number;
  gpu: MachineGpu;
  model: ProvisioningModel;
}

/** The first quota that does not allow it. One that Google does not tell of is not held against it. */
export function shortageOf(quotas: Quotas, wanted: Wanted): QuotaShortage | undefined {
  const { project, region, gpu, cpus } = wanted;
  const global = short(quotas.project.get('GPUS_ALL_REGIONS'), gpu.count);
  if (global) return { ...global, region: 'global', url: quotaPage(project, global.metric) };
  const here = quotas.regions.get(region);
  const gpus = bestOf(here, gpuMetrics(wanted), gpu.count);
  if (gpus) return { ...gpus, region, url: quotaPage(project, gpus.metric) };
  const cpu = bestOf(here, cpuMetrics(wanted, here), cpus);
  if (cpu) return { ...cpu, region, url: quotaPage(project, cpu.metric) };
  const allCpus = short(quotas.project.get('CPUS_ALL_REGIONS'), cpus);
  return allCpus && { ...allCpus, region: 'global', url: quotaPage(project, allCpus.metric) };
}

/**
 * Spot VMs use the preemptible quota. Others that delete themselves within 7 days, as these do, may use either.
 * (cloud.google.com/compute/docs/instances/limit-vm-runtime)
 */
function gpuMetrics({ gpu, model }: Wanted): string[] {
  const word = GPUS.find(({ type }) => type === gpu.type)?.quota;
  if (!word) return [];
  const preemptible = `PREEMPTIBLE_${word}_GPUS`;
  return model === 'SPOT' ? [preemptible] : [`${word}_GPUS`, preemptible];
}

/** Newer families have a quota of their own, such as A2_CPUS; a preemptible one holds only where it was asked for. */
function cpuMetrics({ machineType, model }: Wanted, here: Map<string, Quota> | undefined): string[] {
  const own = `${machineType.split('-')[0]?.toUpperCase()}_CPUS`;
  const standard = here?.has(own) ? own : machineType.startsWith('n1-') ? 'CPUS' : undefined;
  if (model === 'SPOT' && here?.get('PREEMPTIBLE_CPUS')?.limit) return ['PREEMPTIBLE_CPUS'];
  return standard ? [standard] : [];
}

/** Of quotas any of which will do: undefined where one does, else the first. */
function bestOf(quotas: Map<string, Quota> | undefined, metrics: string[], needed: number) {
  const known = metrics.flatMap((metric) => quotas?.get(metric) ?? []);
  const shortages = known.map((quota) => short(quota, needed));
  return shortages.every((shortage) => shortage !== undefined) ? shortages[0] : undefined;
}

function short(quota: Quota | undefined, needed: number): Omit<QuotaShortage, 'region' | 'url'> | undefined {
  if (!quota) return undefined;
  const { metric, limit, usage } = { metric: quota.metric ?? '', limit: quota.limit ?? 0, usage: quota.usage ?? 0 };
  // Google's word for no limit is -1.
  return limit < 0 || usage + needed <= limit ? undefined : { metric, limit, usage, needed };
}
