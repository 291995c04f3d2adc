/** What the cloud lists against what is known here: nothing that costs money is to be forgotten. */
import { randomUUID } from 'node:crypto';
import type { Reconciliation } from '@protocol/cloud';
import { GUEST_NAMESPACE, type WatchdogReport, type WatchdogState } from '@protocol/watchdog';
import * as l10n from '@vscode/l10n';
import { ratesOf } from './cost';
import { regionOf } from './gce/instances';
import { asFailure, type Life } from './life';
import type { CloudVm } from './provider';
import { removeAll } from './remove';
import { isSame, noteSeen, placeOf, staysStopped, type VmRecord, viewOf } from './vmRecord';

export async function reconcile(
  life: Life,
  projects: readonly string[],
  signal?: AbortSignal,
): Promise<Reconciliation> {
  const found: Reconciliation = { unknown: [], known: [], gone: [], failed: [] };
  for (const project of projects) {
    try {
      const listed = await life.provider.list(project, { tuneyard: 'vm' }, signal);
      await match(life, project, listed, found, signal);
    } catch (error) {
      signal?.throwIfAborted();
      found.failed.push({ project, message: asFailure(error).message });
    }
  }
  return found;
}

async function match(
  life: Life,
  project: string,
  listed: CloudVm[],
  found: Reconciliation,
  signal?: AbortSignal,
): Promise<void> {
  const records = (await life.ledger.list()).filter((record) => record.project === project && !record.ended);
  for (const vm of listed) {
    if (records.some((record) => isOf(record, vm))) continue;
    const stranger = adopt(life, vm);
    found.unknown.push({ ...viewOf(stranger, life.now()), known: false });
  }
  for (const { key, adopted } of records) {
    const record = await refresh(life, key, signal);
    if (!record || adopted) continue;
    (record.ended ? found.gone : found.known).push(viewOf(record, life.now()));
  }
}

const isOf = (record: VmRecord, vm: CloudVm): boolean =>
  isSame(record, vm) || vm.labels['tuneyard-request'] === record.id;

/**
 * Brings a record up to date. One that is gone becomes history; one that is stopped and past its end is deleted, for a
 * stopped VM has no limit at Google. What somebody is busy with, or has to be gone on with, is left alone.
 */
export async function refresh(life: Life, key: string, signal?: AbortSignal): Promise<VmRecord | undefined> {
  const lock = await life.ledger.tryLock(key);
  if (!lock) return life.ledger.get(key);
  try {
    const record = await life.ledger.get(key);
    if (!record || record.ended || record.doing) return record;
    const vm = await life.provider.get(placeOf(record), signal);
    if (!vm || !isSame(record, vm)) {
      await removeAll(life, record, { how: 'gone', ...(signal && { signal }) });
      return record;
    }
    noteSeen(record, vm);
    if (vm.state === 'RUNNING' || vm.state === 'TERMINATED') await hear(life, record, signal);
    if (vm.state === 'TERMINATED' && record.delete_at <= life.now() && !staysStopped(record)) {
      const unsafe = record.watchdog?.unsafe ?? 0;
      if (unsafe > 0) {
        // A disk is cheap, and what is on it is not.
        record.problem = l10n.t(
          '{0} has stopped itself with the results of {1} run(s), which are nowhere else: start it and fetch them, or delete it.',
          record.name,
          unsafe,
        );
        await life.save(record);
        return record;
      }
      await removeAll(life, record, { how: 'deleted', keep: keepsDisk(record), ...(signal && { signal }) });
      return record;
    }
    await life.save(record);
    return record;
  } finally {
    await lock.release();
  }
}

/** What the watchdog last said. Google keeps it while the VM is stopped, too, or what was heard before counts. */
async function hear(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  const said = await life.provider
    .guestAttributes(placeOf(record), `${GUEST_NAMESPACE}/`, signal)
    .catch(() => undefined);
  record.watchdog = (said && reportFrom(said)) ?? record.watchdog;
}

/** Whether a snapshot is made before it goes; of one on which nothing ever ran there is nothing to keep. */
export const keepsDisk = ({ create, reached }: VmRecord): boolean =>
  create.artifacts?.kind === 'snapshot' && reached === true;

/** Guest attributes come with or without their namespace in front. */
function reportFrom(said: Record<string, string>): WatchdogReport | undefined {
  const of = (name: string) => said[name] ?? said[`${GUEST_NAMESPACE}/${name}`];
  const state = of('state');
  if (state === undefined) return undefined;
  return {
    state: state as WatchdogState,
    idle_seconds: Number(of('idle_seconds') ?? 0),
    runs: Number(of('runs') ?? -1),
    unsafe: Number(of('unsafe') ?? 0),
    version: of('version') ?? '',
    reason: of('reason') ?? '',
    time: of('time') ?? '',
  };
}

/** A record for a VM that another machine made, as far as the cloud knows it: so that its deletion survives a crash. */
export function adopt(life: Life, vm: CloudVm): VmRecord {
  const { name, project, zone, labels, machineType, provisioningModel } = vm;
  const [disk] = vm.disks;
  const disk_type = labels['tuneyard-disk-type'];
  const query = { machine_type: machineType, provisioning_model: provisioningModel, region: regionOf(zone) };
  const { prices } = life;
  const rates = disk_type ? ratesOf({ ...query, disk_type, ...(prices && { prices }) }) : undefined;
  const record: VmRecord = {
    key: `${name}@${project}@${zone}`.replace(/[^a-z0-9@._-]/g, '_'),
    id: labels['tuneyard-request'] ?? randomUUID(),
    adopted: true,
    name,
    project,
    zone,
    owner: labels['tuneyard-owner'] ?? '',
    create: {
      project,
      name,
      machine_type: machineType,
      zones: [zone],
      provisioning_model: provisioningModel,
      disk_gb: disk?.sizeGb ?? 0,
      address: vm.externalAddress ? 'external' : 'iap',
    },
    image: '',
    user: '',
    written: Date.parse(vm.created),
    delete_at: vm.terminationTime ? Date.parse(vm.terminationTime) : Number.MAX_SAFE_INTEGER,
    max_run_seconds: 0,
    attempts: [],
    ran: [],
    ...(rates && !('missing' in rates) && { rates }),
  };
  noteSeen(record, vm);
  return record;
}
