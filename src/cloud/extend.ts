/** Moving the end of a VM, and stopping and starting it. */
import { randomUUID } from 'node:crypto';
import { TuneyardError } from '@protocol/errors';
import { DELETE_AT_ITEM } from '@protocol/watchdog';
import * as l10n from '@vscode/l10n';
import { keyExpiry, sshKeysItem, vmKey } from './keys';
import { asFailure, type Life } from './life';
import type { CloudVm } from './provider';
import { makeReady } from './ready';
import { checkRunSeconds, maxRunSeconds } from './timeLimit';
import { isSame, noteSeen, placeOf, type VmRecord } from './vmRecord';

const DEFAULT_RUN_SECONDS = 12 * 3600;

/** The VM of a record, seen now. @throws `vm_not_found` */
async function seen(life: Life, record: VmRecord, signal?: AbortSignal): Promise<CloudVm> {
  const vm = await life.provider.get(placeOf(record), signal);
  if (!vm || !isSame(record, vm)) {
    throw new TuneyardError('vm_not_found', l10n.t('{0} is gone: somebody has deleted it.', record.name));
  }
  noteSeen(record, vm);
  return vm;
}

/** @param restart whether a running VM may be stopped for it, where Google's own limit is in the way */
export async function extend(
  life: Life,
  record: VmRecord,
  { seconds, restart, signal }: { seconds: number; restart?: boolean; signal?: AbortSignal },
): Promise<void> {
  checkRunSeconds(seconds);
  const vm = await seen(life, record, signal);
  const end = life.now() + seconds * 1000;
  if (vm.state !== 'RUNNING') {
    await setLimit(life, record, end, signal);
    return;
  }
  const latest = record.termination_time ?? Number.POSITIVE_INFINITY;
  if (end <= latest) {
    await setEnd(life, record, end, latest, signal);
    return;
  }
  if (!restart) {
    const sentence = l10n.t(
      '{0} can run until {1} as it is. Google lets it run longer only after it was stopped and started; a run on it then goes on from its last checkpoint.',
      record.name,
      new Date(latest).toISOString(),
    );
    throw new TuneyardError('cloud_invalid', sentence, {
      data: { reason: 'running', latest: new Date(latest).toISOString() },
    });
  }
  await stop(life, record, signal);
  await setLimit(life, record, end, signal);
  await start(life, record, signal);
}

/** The end that the VM itself keeps, and its key's. */
async function setEnd(life: Life, record: VmRecord, end: number, latest: number, signal?: AbortSignal): Promise<void> {
  const publicKey = await vmKey(life.ledger, record.key);
  const keyUntil = Math.max(end, Number.isFinite(latest) ? latest : 0);
  const { provider } = life;
  if (record.login_key)
    await provider.renewSshKey(record.project, record.login_key, publicKey, keyExpiry(keyUntil), signal);
  const key = record.login_key ? {} : { 'ssh-keys': sshKeysItem(record.user, publicKey, keyUntil) };
  await provider.setMetadata(placeOf(record), { [DELETE_AT_ITEM]: new Date(end).toISOString(), ...key }, signal);
  record.delete_at = end;
  await life.save(record);
}

/** Of a VM that does not run: Google's limit too. */
async function setLimit(life: Life, record: VmRecord, end: number, signal?: AbortSignal): Promise<void> {
  const seconds = maxRunSeconds(Math.ceil((end - life.now()) / 1000));
  const limit = life.now() + seconds * 1000;
  const vm = await life.provider.setTerminationTime(placeOf(record), new Date(limit).toISOString(), signal);
  noteSeen(record, vm);
  record.max_run_seconds = seconds;
  await setEnd(life, record, end, limit, signal);
}

export async function stop(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  await during(life, record, 'stopping', async () => {
    noteSeen(record, await life.provider.stop(placeOf(record), randomUUID(), signal));
    record.parked = true;
  });
}

/** Ready again, at its new address. */
export async function start(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  await during(life, record, 'starting', async () => {
    const vm = await seen(life, record, signal);
    if (vm.state !== 'RUNNING') {
      const now = life.now();
      const end =
        record.delete_at > now ? record.delete_at : now + (record.create.max_run_seconds ?? DEFAULT_RUN_SECONDS) * 1000;
      // Google counts its limit anew from each start
      await setEnd(life, record, end, now + record.max_run_seconds * 1000, signal);
      noteSeen(record, await life.provider.start(placeOf(record), randomUUID(), signal));
      await life.save(record);
    }
    delete record.parked;
    await makeReady(life, record, signal);
  });
}

/** What is being done is in the record, and what went wrong with it afterwards. */
async function during(
  life: Life,
  record: VmRecord,
  what: 'starting' | 'stopping',
  work: () => Promise<void>,
): Promise<void> {
  record.doing = { what, since: life.now() };
  delete record.problem;
  await life.save(record);
  try {
    await work();
  } catch (error) {
    record.problem = asFailure(error).message;
    throw asFailure(error);
  } finally {
    delete record.doing;
    await life.save(record);
  }
}
