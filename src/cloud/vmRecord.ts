/**
 * What is kept of a VM: one JSON file each (`ledger.ts`), written before anything is asked of the cloud, so that whoever
 * comes after a crash knows what may exist and what was meant to become of it. No secret is in it.
 */
import type { CreateVm, MachineGpu, VmStage, VmState, VmView } from '@protocol/cloud';
import type { WatchdogReport, WatchdogSettings } from '@protocol/watchdog';
import { type Cost, costSoFar, type Rates } from './cost';
import type { CloudVm, LoginKey, VmPlace } from './provider';

/** A VM that goes on where another one was ended. */
export interface VmOrigin {
  /** Its boot disk is made of this snapshot. */
  snapshot?: string;
  /** Runs to bring from a bucket. */
  resume?: WatchdogSettings['resume'];
}

/** One insert: written before it is sent. */
export interface InsertAttempt {
  zone: string;
  /** The same one cannot make a second VM. */
  request_id: string;
  /** Milliseconds since 1970. */
  at: number;
  /** Absent: not known (yet) whether it made one. */
  outcome?: 'made' | 'nothing';
}

export interface Doing {
  what: 'creating' | 'starting' | 'stopping' | 'deleting';
  since: number;
  /** Of a deletion: why, and whether a snapshot of its disk is kept. */
  how?: EndedHow;
  keep?: boolean;
}

export type EndedHow = 'deleted' | 'failed' | 'gone';

export interface VmRecord {
  /** Name of its files: the VM's, except for one that another machine made. */
  key: string;
  /** UUID, and the label `tuneyard-request` of the VM: another one of the same name is not this one. */
  id: string;
  /** Made elsewhere; kept only while it is being deleted. */
  adopted?: boolean;
  name: string;
  project: string;
  /** Where it is, or is being made. */
  zone?: string;
  owner: string;
  create: CreateVm;
  origin?: VmOrigin;
  gpu?: MachineGpu;
  /** As the family was resolved: a repeated insert has to be the same. */
  image: string;
  /** Account on it. */
  user: string;
  /** When this was written first: milliseconds since 1970, as all times here. */
  written: number;
  /** It lets in by OS Login; else its key is in its metadata. */
  os_login?: boolean;
  /** Where its key is then. */
  login_key?: LoginKey;
  service_account?: string;
  /** When it is to end, as a person wants it. */
  delete_at: number;
  /** Google's limit, given at each start. */
  max_run_seconds: number;
  /** Who does it holds the lock; where nobody does, it was broken off. */
  doing?: Doing;
  stage?: VmStage;
  stage_since?: number;
  attempts: InsertAttempt[];
  /** The cloud's own number for it. */
  instance_id?: string;
  state?: VmState;
  preempted?: boolean;
  /** When the cloud ends it, as it said last. */
  termination_time?: number;
  address?: string;
  ran: { from: number; to?: number }[];
  disk_from?: number;
  disk_to?: number;
  /** Absent: not known, and then no cost is shown. */
  rates?: Rates;
  /** A person has stopped it, and wants it to stay. */
  parked?: boolean;
  /** It was reached: it is a host. */
  reached?: boolean;
  watchdog?: WatchdogReport;
  /** A snapshot of its disk that is (being) made before it goes. */
  snapshot?: string;
  problem?: string;
  ended?: { at: number; how: EndedHow; verified: string[]; kept: string[] };
}

export const placeOf = (record: VmRecord, zone = record.zone ?? ''): VmPlace => ({
  project: record.project,
  zone,
  name: record.name,
});

/** The labels by which it is found and told from others. */
export function labelsOf(record: VmRecord, version: string): Record<string, string> {
  return {
    tuneyard: 'vm',
    'tuneyard-vm': record.name,
    'tuneyard-owner': record.owner,
    'tuneyard-version': asLabel(version),
    'tuneyard-request': record.id,
    'tuneyard-disk-type': asLabel(record.create.disk_type ?? DEFAULT_DISK_TYPE),
    ...(record.create.run && { 'tuneyard-run': asLabel(record.create.run) }),
  };
}

/** Lower-case letters, digits, `-` and `_`; at most 63. */
export const asLabel = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .slice(0, 63);

/** Whether it is the VM of this record, and no other of its name. */
export function isSame(record: VmRecord, vm: CloudVm): boolean {
  if (record.instance_id !== undefined) return vm.id === record.instance_id;
  return vm.labels['tuneyard-request'] === record.id;
}

/** Takes down what the cloud says of it. */
export function noteSeen(record: VmRecord, vm: CloudVm): void {
  record.instance_id = vm.id;
  record.zone = vm.zone;
  record.state = vm.state;
  record.preempted = vm.preempted || undefined;
  record.termination_time = vm.terminationTime ? Date.parse(vm.terminationTime) : undefined;
  const address = record.create.address === 'iap' ? vm.internalAddress : vm.externalAddress;
  if (address) record.address = address;
  record.disk_from ??= Date.parse(vm.created);
  noteRuns(record, vm);
}

/** When it ran: the cloud tells its last start and its last stop; those before are in the record. */
function noteRuns({ ran }: VmRecord, { lastStart, lastStop, created, state }: CloudVm): void {
  const start = lastStart ? Date.parse(lastStart) : state === 'RUNNING' ? Date.parse(created) : undefined;
  const stop = lastStop ? Date.parse(lastStop) : undefined;
  const last = ran.at(-1);
  if (start !== undefined && (last === undefined || start > last.from)) {
    if (last && last.to === undefined) last.to = stop !== undefined && stop > last.from ? Math.min(stop, start) : start;
    ran.push({ from: start });
  }
  const current = ran.at(-1);
  const isOver = state === 'TERMINATED' || state === 'SUSPENDED';
  if (current && isOver && stop !== undefined && stop >= current.from) current.to = stop;
}

/** It is no more, since then: nothing of it costs any longer. */
export function noteGone(record: VmRecord, at: number): void {
  record.state = 'DELETED';
  for (const each of record.ran) each.to ??= Math.max(at, each.from);
  delete record.termination_time;
  if (record.disk_from !== undefined) record.disk_to = Math.max(at, record.disk_from);
}

export function costOf(record: VmRecord, now: number): Cost | undefined {
  if (!record.rates) return undefined;
  return costSoFar(
    {
      rates: record.rates,
      disk_gb: record.create.disk_gb ?? DEFAULT_DISK_GB,
      external_address: record.create.address !== 'iap',
      ran: record.ran,
      disk_from: record.disk_from ?? now,
      ...(record.disk_from === undefined
        ? { disk_to: now }
        : record.disk_to !== undefined && { disk_to: record.disk_to }),
    },
    now,
  );
}

export const DEFAULT_DISK_GB = 200;
export const DEFAULT_DISK_TYPE = 'pd-balanced';
const iso = (time: number): string => new Date(time).toISOString();

/** As it is shown. */
export function viewOf(record: VmRecord, now: number): VmView {
  const { name, project, zone, create, gpu, doing, stage, stage_since, watchdog } = record;
  const cost = costOf(record, now);
  const started = record.ran.at(-1);
  return {
    name,
    provider: 'gce',
    project,
    ...(zone && { zone }),
    state: stateOf(record),
    ...(doing && doing.what !== 'deleting' && stage && { stage }),
    ...(doing && doing.what !== 'deleting' && stage_since !== undefined && { stage_since: iso(stage_since) }),
    machine_type: create.machine_type,
    ...(gpu && { gpu }),
    provisioning_model: create.provisioning_model,
    known: !record.adopted,
    owner: record.owner,
    created: iso(record.disk_from ?? record.written),
    ...(started && started.to === undefined && { started: iso(started.from) }),
    ...(hasEnd(record) && { delete_at: iso(endOf(record)) }),
    ...(!record.ended && record.termination_time !== undefined && { delete_at_latest: iso(record.termination_time) }),
    ...(watchdog && record.state === 'RUNNING' && { idle_seconds: watchdog.idle_seconds }),
    ...(create.idle_minutes !== undefined && { idle_minutes: create.idle_minutes }),
    ...(cost &&
      record.rates && {
        cost: {
          usd: cost.micro_usd / 1e6,
          usd_per_hour: cost.micro_usd_per_hour / 1e6,
          as_of: record.rates.as_of,
        },
      }),
    ...(record.reached && !record.ended && { host: `ssh:${name}` }),
    ...(record.problem && { problem: record.problem }),
    ...(record.preempted && { preempted: true }),
  };
}

/** Stopped on purpose: nothing ends it but a person. */
export const staysStopped = ({ state, parked, create }: VmRecord): boolean =>
  state === 'TERMINATED' && (parked === true || create.idle_action === 'stop');

/** Of one that another machine made only the cloud's limit is known. */
const hasEnd = (record: VmRecord): boolean =>
  !record.ended && !staysStopped(record) && (!record.adopted || record.termination_time !== undefined);

const endOf = ({ delete_at, termination_time }: VmRecord): number => Math.min(delete_at, termination_time ?? delete_at);

function stateOf({ ended, doing, state }: VmRecord): VmState {
  if (ended) return ended.how === 'failed' ? 'FAILED' : 'DELETED';
  if (doing?.what === 'deleting') return 'DELETING';
  return state ?? 'PLANNED';
}
