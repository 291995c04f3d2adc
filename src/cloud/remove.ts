/**
 * Deleting, to the end: the instance, then a look whether it, its disks and its addresses are gone, then what it has cost.
 * Whatever interrupts it, the record says that it is being deleted, and whoever comes next goes on.
 */
import { randomUUID } from 'node:crypto';
import type { VmDeletion } from '@protocol/cloud';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import { asFailure, type Life } from './life';
import type { CloudVm } from './provider';
import { costOf, type EndedHow, isSame, labelsOf, noteGone, noteSeen, placeOf, type VmRecord } from './vmRecord';

/** A request that was sent when its process died may still make a VM for so long. */
const IN_FLIGHT_MS = 60_000;
const LOOKS = 6;
const LOOK_MS = 5000;

export interface RemoveOptions {
  how: EndedHow;
  /** A snapshot is kept where that was chosen. Default false. */
  keep?: boolean;
  signal?: AbortSignal;
}

/** Its lock is held. @throws TuneyardError where something is left, or may be */
export async function removeAll(life: Life, record: VmRecord, options: RemoveOptions): Promise<VmDeletion> {
  if (record.ended) return finish(life, record);
  const { how, keep } = options;
  // What was begun goes on as it was meant
  const doing =
    record.doing?.what === 'deleting' ? record.doing : { what: 'deleting' as const, since: life.now(), how, keep };
  record.doing = doing;
  await life.save(record);
  let verified: string[];
  try {
    if (doing.keep) await keepDisk(life, record, options.signal);
    verified = await deleteAndLook(life, record, options.signal);
    await noteEnd(life, record, options.signal);
    verified.push(...(await forgetKey(life, record, options.signal)));
  } catch (error) {
    // Whoever looks at it sees why it is still there
    record.problem = asFailure(error).message;
    await life.save(record);
    throw error;
  }
  if (how === 'deleted') delete record.problem;
  record.ended = {
    at: life.now(),
    how: doing.how ?? how,
    verified,
    kept: record.snapshot ? [l10n.t('snapshot {0}', record.snapshot)] : [],
  };
  delete record.doing;
  return finish(life, record);
}

/** The key opens nothing any more and costs nothing: that it stays in the profile until it expires keeps no deletion. */
async function forgetKey(life: Life, record: VmRecord, signal?: AbortSignal): Promise<string[]> {
  if (!record.login_key) return [];
  try {
    await life.provider.deleteSshKey(record.project, record.login_key, signal);
    return [l10n.t('its key in the login profile of {0}', record.login_key.account)];
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code === 'cancelled') throw failure;
    life.log(`${record.name}: ${failure.message}`);
    return [];
  }
}

/** In the record from the first: a second snapshot would be made after a crash. */
async function keepDisk(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  const { provider } = life;
  const vm = await provider.get(placeOf(record), signal);
  if (!vm || !isSame(record, vm)) return;
  noteSeen(record, vm);
  const [disk] = vm.disks;
  if (!disk) return;
  if (vm.state === 'RUNNING')
    await provider.stop(placeOf(record), randomUUID(), signal).then((stopped) => noteSeen(record, stopped));
  record.snapshot ??= `${record.name.slice(0, 40)}-${record.id.slice(0, 8)}`;
  await life.save(record);
  try {
    const place = { ...placeOf(record), name: disk.name };
    await provider.snapshot(place, record.snapshot, labelsOf(record, life.version), randomUUID(), signal);
  } catch (error) {
    if (!(error instanceof TuneyardError && error.data.reason === 'exists')) throw error;
  }
}

async function deleteAndLook(life: Life, record: VmRecord, signal?: AbortSignal): Promise<string[]> {
  const { now } = life;
  const unsure = record.attempts.filter(({ outcome }) => outcome === undefined).map(({ at }) => at + IN_FLIGHT_MS);
  const certainFrom = Math.max(0, ...unsure);
  let found: Found | undefined;
  for (let look = 1; ; look++) {
    found = await lookFor(life, record, signal);
    const isCertain = now() >= certainFrom || record.instance_id !== undefined;
    if (found.instances.length + found.disks.length + found.addresses.length === 0) {
      if (isCertain) break;
      await life.sleep(Math.min(LOOK_MS, certainFrom - now()), signal);
      continue;
    }
    if (look > LOOKS) throw left(record, found);
    if (look > 2) await life.sleep(LOOK_MS, signal);
    await deleteFound(life, record, found, signal);
  }
  const zone = record.zone ?? record.create.zones.join(', ');
  return [l10n.t('instance {0} in {1}', record.name, zone), l10n.t('its disks'), l10n.t('its addresses')];
}

async function deleteFound(life: Life, record: VmRecord, found: Found, signal?: AbortSignal): Promise<void> {
  for (const vm of found.instances) {
    noteSeen(record, vm);
    await life.save(record);
    await ignoreGone(life.provider.delete(placeOf(record, vm.zone), randomUUID(), signal));
  }
  // A disk that goes with its instance is gone by now
  if (found.instances.length > 0) return;
  for (const disk of found.disks) {
    const zones = [...new Set([record.zone, ...record.attempts.map(({ zone }) => zone)])].filter(
      (zone) => zone !== undefined,
    );
    for (const zone of zones)
      await ignoreGone(life.provider.deleteDisk({ ...placeOf(record, zone), name: disk }, randomUUID(), signal));
  }
}

interface Found {
  instances: CloudVm[];
  disks: string[];
  addresses: string[];
}

/** By name where it was asked for, and by label everywhere. */
async function lookFor({ provider }: Life, record: VmRecord, signal?: AbortSignal): Promise<Found> {
  const listed = await provider.list(record.project, { tuneyard: 'vm', 'tuneyard-vm': record.name }, signal);
  const instances = listed.filter((vm) => isSame(record, vm) || vm.labels['tuneyard-request'] === record.id);
  for (const zone of new Set([record.zone, ...record.attempts.map((attempt) => attempt.zone)])) {
    if (zone === undefined || instances.some((vm) => vm.zone === zone)) continue;
    const vm = await provider.get(placeOf(record, zone), signal);
    if (vm && isSame(record, vm)) instances.push(vm);
  }
  // Another VM of this name has disks of this name
  const isShared = listed.some((vm) => !instances.includes(vm));
  const { disks, addresses } = isShared
    ? { disks: [], addresses: [] }
    : await provider.leftovers(record.project, record.name, signal);
  return { instances, disks, addresses };
}

async function ignoreGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof TuneyardError && error.code === 'vm_not_found')) throw error;
  }
}

function left(record: VmRecord, found: Found): TuneyardError {
  const names = [...found.instances.map(({ name, zone }) => `${name} (${zone})`), ...found.disks, ...found.addresses];
  return new TuneyardError(
    'cloud_failed',
    l10n.t(
      'Google still lists {0} of project {1} after the deletion: it is tried again; look there.',
      names.join(', '),
      record.project,
    ),
    { data: { left: names } },
  );
}

/** To the second: when the cloud says that it ended. */
async function noteEnd({ provider, now }: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  if (record.instance_id === undefined) return noteGone(record, now());
  const said = await provider.deletedAt(placeOf(record), record.instance_id, signal).catch(() => undefined);
  const limit = record.termination_time;
  noteGone(record, said ? Date.parse(said) : limit !== undefined && limit < now() ? limit : now());
}

async function finish(life: Life, record: VmRecord): Promise<VmDeletion> {
  const { name, project, ended } = record;
  await life.ledger.end(record);
  const cost = costOf(record, life.now());
  return {
    vm: name,
    project,
    verified: ended?.verified ?? [],
    kept: ended?.kept ?? [],
    ...(cost && { cost: { usd: cost.micro_usd / 1e6 } }),
  };
}
