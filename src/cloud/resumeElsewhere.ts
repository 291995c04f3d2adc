/**
 * A VM that the cloud took away, made anew somewhere else with what it left: its boot disk by way of a snapshot, or its
 * runs in a bucket. The watchdog of the new one goes on with the runs that were broken off; nobody has to ask for it.
 *
 * The old VM goes first, once its disk is in a snapshot that the record knows: whatever breaks off here, nothing costs on
 * unseen, and asked for again it goes on from the snapshot.
 */
import { randomUUID } from 'node:crypto';
import type { CreateVm, MachineOffer, VmView } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { regionOf } from './gce/instances';
import { asFailure, type Life, until } from './life';
import { removeAll } from './remove';
import { isSame, noteSeen, placeOf, type VmOrigin, type VmRecord } from './vmRecord';

export interface ResumeElsewhere {
  vm: string;
  /** Only these, in this order. */
  zones?: string[] | undefined;
  create(confirmed: CreateVm, options: { origin: VmOrigin; signal?: AbortSignal }): Promise<VmView>;
}

/** What is left of a time that a person gave it is hardly enough to boot. */
const SHORTEST_REST_MS = 3600_000;
const STOPPING_MS = 5 * 60_000;
const LOOK_MS = 3000;

/** @throws `vm_not_found`; `cloud_invalid` where it runs, or has left nothing; what creating it fails with */
export async function resumeElsewhere(
  life: Life,
  { vm, zones, create }: ResumeElsewhere,
  signal?: AbortSignal,
): Promise<VmView> {
  const old = await lastOf(life, vm);
  const origin = await keepWhatItLeft(life, old, signal);
  const wish = await wishFor(life, old, zones, signal);
  const made = await create(wish, { origin, ...(signal && { signal }) });
  const isMeantToStay = old.create.artifacts?.kind === 'snapshot';
  if (origin.snapshot && !isMeantToStay) {
    // It has a disk of its own by now. What is left costs little, and is told of.
    await life.provider.deleteSnapshot(old.project, origin.snapshot, randomUUID(), signal).catch((error: unknown) => {
      life.log(`${vm}: ${asFailure(error).message}`);
    });
  }
  return made;
}

/** The VM of this name, be it gone: then the last one that there was. */
async function lastOf(life: Life, vm: string): Promise<VmRecord> {
  const record = (await life.ledger.get(vm)) ?? (await life.ledger.history()).find(({ name }) => name === vm);
  if (record && !record.adopted) return record;
  throw new TuneyardError('vm_not_found', l10n.t('No VM named {0} is known here.', vm));
}

/** Afterwards the old VM is gone, and what it left is where the record says. */
async function keepWhatItLeft(life: Life, { key, id }: VmRecord, signal?: AbortSignal): Promise<VmOrigin> {
  const lock = await life.ledger.lock(key, { ...(signal && { signal }) });
  try {
    const known = await life.ledger.get(key);
    const record = known?.id === id ? known : (await life.ledger.history()).find((each) => each.id === id);
    if (!record) throw new TuneyardError('vm_not_found', l10n.t('No VM named {0} is known here.', key));
    const { artifacts } = record.create;
    const bucket = artifacts?.kind === 'bucket' ? { bucket: artifacts.bucket, vm: record.name } : undefined;
    if (!record.ended) {
      const isThere = await stopped(life, record, signal);
      // Its disk has all that there is; a bucket only what there was time for.
      await removeAll(life, record, { how: isThere ? 'deleted' : 'gone', keep: isThere, ...(signal && { signal }) });
    }
    if (record.snapshot) return { snapshot: record.snapshot };
    if (bucket) return { resume: bucket };
    throw new TuneyardError(
      'cloud_invalid',
      l10n.t('{0} has left nothing to go on from: its disk is gone, and nothing was copied to a bucket.', record.name),
      { data: { reason: 'nothing_left' } },
    );
  } finally {
    await lock.release();
  }
}

/** Whether it is there, and no longer runs. It is waited for where it is about to stop. */
async function stopped(life: Life, record: VmRecord, signal?: AbortSignal): Promise<boolean> {
  return until(
    life,
    async () => {
      const vm = await life.provider.get(placeOf(record), signal);
      if (!vm || !isSame(record, vm)) return false;
      noteSeen(record, vm);
      if (vm.state === 'TERMINATED' || vm.state === 'SUSPENDED') return true;
      if (vm.state !== 'STOPPING' && !vm.preempted) throw stillRuns(record);
      return undefined;
    },
    {
      ms: STOPPING_MS,
      everyMs: LOOK_MS,
      ...(signal && { signal }),
      sentence: () => l10n.t('{0} does not stop; look again later.', record.name),
    },
  );
}

const stillRuns = ({ name }: VmRecord) =>
  new TuneyardError('cloud_invalid', l10n.t('{0} runs: stop it before its runs go on elsewhere.', name), {
    data: { reason: 'running' },
  });

/** As the old one was confirmed, for the time that is left of what it was given. */
async function wishFor(
  life: Life,
  old: VmRecord,
  zones: string[] | undefined,
  signal?: AbortSignal,
): Promise<CreateVm> {
  const { create, delete_at } = old;
  const rest = delete_at - life.now();
  return {
    ...create,
    name: await freshName(life, old.name),
    zones: zones ?? (await otherZones(life, old, signal)),
    ...(rest >= SHORTEST_REST_MS && { max_run_seconds: Math.ceil(rest / 1000) }),
  };
}

/** `vm`, `vm-2`, `vm-3`: names are used once, so that a bill can be read. */
async function freshName({ ledger }: Life, name: string): Promise<string> {
  const taken = new Set([...(await ledger.list()), ...(await ledger.history())].map((record) => record.name));
  const base = name.replace(/-\d+$/, '').slice(0, 58);
  for (let number = 2; ; number++) if (!taken.has(`${base}-${number}`)) return `${base}-${number}`;
}

/** Those that a person had named and others of the same regions; the one that took it away last. */
async function otherZones(life: Life, { create, zone, project }: VmRecord, signal?: AbortSignal): Promise<string[]> {
  const regions = [...new Set(create.zones.map(regionOf))];
  const offers = await life.provider.offers({ project, regions }, signal).catch((): MachineOffer[] => []);
  const offered = offers
    .filter((offer) => offer.machine_type === create.machine_type)
    .filter((offer) => offer.provisioning_model === create.provisioning_model && regions.includes(offer.region))
    .flatMap((offer) => offer.zones);
  const all = [...new Set([...create.zones, ...offered])];
  return [...all.filter((each) => each !== zone), ...all.filter((each) => each === zone)];
}
