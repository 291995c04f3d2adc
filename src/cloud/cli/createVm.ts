/** `tuneyard vm offers` and `tuneyard vm create`: which machine, what it costs, one question, and then it is made. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { CreateVm, MachineOffer } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import type { Estimate } from '@protocol/runner';
import { orderText } from '../ui/orderText';
import { offerTable, spanOf, vmText } from './describeVm';
import { type Cloud, openCloud } from './openCloud';
import { openTerminal, type Terminal } from './terminal';

export interface OfferOptions {
  project?: string;
  recipe?: string;
  gpuMemory?: number;
  region?: string[];
  diskSize?: number;
  diskType?: string;
  all?: boolean;
  json?: boolean;
}

export interface CreateOptions extends OfferOptions {
  machineType?: string;
  zone?: string[];
  spot?: boolean;
  hours: number;
  idle: number;
  idleAction?: 'delete' | 'stop';
  endAfterLastRun?: boolean;
  artifacts?: string;
  serviceAccount?: string;
  network?: string;
  subnet?: string;
  iap?: boolean;
  bare?: boolean;
  imageFamily?: string;
  imageProject?: string;
  yes?: boolean;
}

const DISK_GB = 200;
const GIB = 2 ** 30;

export async function offersCommand(options: OfferOptions): Promise<void> {
  const terminal = openTerminal(options);
  const cloud = openCloud(() => {});
  const { offers } = await findOffers(cloud, options, terminal);
  const shown = options.all ? offers : offers.filter(({ fits }) => fits);
  if (terminal.json) for (const offer of shown) terminal.result(offer, '');
  else terminal.result(shown, shown.length === 0 ? 'Nothing fits.' : offerTable(shown));
}

export async function createCommand(name: string | undefined, options: CreateOptions): Promise<void> {
  const terminal = openTerminal(options);
  const cloud = openCloud(() => {}, { bare: options.bare ?? false });
  const { service } = cloud;
  const { offers, project } = await findOffers(cloud, options, terminal);
  const offer = choose(offers, options);
  const wish: CreateVm = {
    project,
    ...(name !== undefined && { name }),
    machine_type: offer.machine_type,
    ...(offer.machine_type.startsWith('n1-') && { accelerator: { type: offer.gpu.type, count: offer.gpu.count } }),
    zones: options.zone ?? zonesOf(offers, offer),
    provisioning_model: offer.provisioning_model,
    disk_gb: options.diskSize ?? DISK_GB,
    ...(options.diskType && { disk_type: options.diskType }),
    ...(options.imageProject && { image_project: options.imageProject }),
    ...(options.imageFamily && { image_family: options.imageFamily }),
    max_run_seconds: Math.round(options.hours * 3600),
    idle_minutes: options.idle,
    ...(options.idleAction && { idle_action: options.idleAction }),
    ...(options.endAfterLastRun && { end_after_last_run: true }),
    artifacts: artifactsOf(options.artifacts),
    ...(options.serviceAccount && { service_account: options.serviceAccount }),
    ...(options.network && { network: options.network }),
    ...(options.subnet && { subnetwork: options.subnet }),
    address: options.iap ? 'iap' : 'external',
  };
  // The same words as in the editor: what it costs at most, and what exactly ends it.
  const span = (seconds: number) => spanOf(seconds * 1000);
  const { question, detail } = orderText({ create: wish, offer, now: Date.now(), span });
  if (!terminal.json) process.stderr.write(`${detail}\n`);
  await terminal.confirm(name === undefined ? 'Make it?' : question);
  const cancel = new AbortController();
  const interrupt = () => cancel.abort(new TuneyardError('cancelled', 'Cancelled: what there was of it is deleted.'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const subscription = service.onDidProgress((progress) =>
    terminal.progress({ type: 'progress', ...progress }, `${progress.stage.padEnd(11)} ${progress.text}`),
  );
  try {
    const vm = await service.create(wish, { signal: cancel.signal });
    terminal.result(
      { type: 'vm', ...vm },
      `${vmText(vm, Date.now())}\n\n"tuneyard vm ssh ${vm.name}" logs in, "tuneyard vm delete ${vm.name}" ends it.`,
    );
  } finally {
    subscription.dispose();
    service.dispose();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function findOffers(
  cloud: Cloud,
  { project: named, recipe, gpuMemory, region, diskSize = DISK_GB, diskType }: OfferOptions,
  terminal: Terminal,
): Promise<{ offers: MachineOffer[]; project: string }> {
  const project = named ?? (await cloud.service.identity()).project;
  if (!project) {
    throw new TuneyardError(
      'cloud_credentials',
      'No Google Cloud project is chosen: say --project ID, or run "gcloud config set project ID".',
    );
  }
  const bytes = gpuMemory === undefined ? recipe && (await neededBy(recipe, cloud, terminal)) : gpuMemory * GIB;
  const offers = await cloud.service.offers({
    project,
    ...(bytes && { gpu_memory_bytes: bytes }),
    ...(region && { regions: region }),
    disk_gb: diskSize,
    ...(diskType && { disk_type: diskType }),
  });
  return { offers, project };
}

/** By the runner's own estimate, on this machine. */
async function neededBy(recipe: string, { program }: Cloud, terminal: Terminal): Promise<number> {
  terminal.progress({ type: 'status', text: 'estimating' }, `Estimating what ${recipe} needs`);
  const { stdout } = await promisify(execFile)(process.execPath, [program, 'estimate', recipe, '--json']).catch(
    (error: { stderr?: string }) => {
      throw new TuneyardError('usage', (error.stderr ?? String(error)).trim());
    },
  );
  const estimate = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<Estimate>)
    .find(({ peak_bytes }) => peak_bytes !== undefined);
  if (!estimate) throw new TuneyardError('internal', `The estimate of ${recipe} says no memory.`);
  // The process itself lies in the machine's memory, not in the GPU's.
  return (estimate.peak_bytes ?? 0) - (estimate.process_bytes ?? 0);
}

/** The named machine type, or the cheapest that fits and may be had. */
function choose(offers: readonly MachineOffer[], { machineType, spot = false, zone }: CreateOptions): MachineOffer {
  const model = spot ? 'SPOT' : 'STANDARD';
  const meant = offers.filter(
    (offer) =>
      offer.provisioning_model === model &&
      (machineType === undefined ? offer.fits : offer.machine_type === machineType) &&
      (zone === undefined || zone.some((one) => offer.zones.includes(one))),
  );
  const best = meant.find(({ quota }) => !quota);
  if (best) return best;
  const [first] = meant;
  if (first?.quota) {
    const { metric, limit, usage, needed, region, url } = first.quota;
    throw new TuneyardError(
      'cloud_quota',
      `The quota ${metric} (${region}) allows ${limit}, of which ${usage} are used, and ${first.machine_type} needs ${needed}: ask for more at ${url}`,
    );
  }
  const what = machineType ?? 'machine type with enough GPU memory';
  throw new TuneyardError(
    'cloud_invalid',
    `There is no ${what} there: "tuneyard vm offers --all" lists what there is.`,
  );
}

/** Those of the cheapest region first, then where the same machine is to be had as well. */
function zonesOf(offers: readonly MachineOffer[], chosen: MachineOffer): string[] {
  const same = offers.filter(
    ({ machine_type, gpu, provisioning_model, quota, region }) =>
      machine_type === chosen.machine_type &&
      gpu.type === chosen.gpu.type &&
      gpu.count === chosen.gpu.count &&
      provisioning_model === chosen.provisioning_model &&
      !quota &&
      region === chosen.region,
  );
  return [...new Set(same.flatMap(({ zones }) => zones))];
}

function artifactsOf(text = 'fetch'): NonNullable<CreateVm['artifacts']> {
  const bucket = /^gs:\/\/([^/]+)\/?$/.exec(text)?.[1];
  if (bucket) return { kind: 'bucket', bucket };
  if (text === 'fetch' || text === 'snapshot') return { kind: text };
  throw new TuneyardError('usage', `--artifacts takes fetch, snapshot or gs://BUCKET, not "${text}".`);
}
