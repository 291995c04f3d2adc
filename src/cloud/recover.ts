/** Takes what was broken off into its own hands: creations, deletions, starts and stops whose process is no more. */
import { start, stop } from './extend';
import { asFailure, type Life } from './life';
import { carryOut } from './provision';
import { keepsDisk } from './reconcile';
import { removeAll } from './remove';
import type { VmRecord } from './vmRecord';

/** Who asked for a VM so long ago has gone on to something else: one that does not exist yet is not made any more. */
const STILL_WANTED_MS = 30 * 60_000;

/** @returns the records of those that were gone on with, as they are now */
export async function recover(life: Life, signal?: AbortSignal): Promise<VmRecord[]> {
  await life.ledger.tidy(life.now());
  const broken = (await life.ledger.list()).filter(
    (record) => record.doing !== undefined || record.ended !== undefined,
  );
  const done = await Promise.all(broken.map(({ key }) => recoverOne(life, key, signal)));
  return done.filter((record) => record !== undefined);
}

async function recoverOne(life: Life, key: string, signal?: AbortSignal): Promise<VmRecord | undefined> {
  const lock = await life.ledger.tryLock(key);
  if (!lock) return undefined;
  try {
    const record = await life.ledger.get(key);
    if (!record?.doing && !record?.ended) return undefined;
    life.log(`${record.name}: going on with what was broken off (${record.doing?.what ?? 'ended'})`);
    try {
      await goOn(life, record, signal);
    } catch (error) {
      const { message } = asFailure(error);
      life.log(`${record.name}: ${message}`);
      if (!record.ended) {
        record.problem = message;
        await life.save(record);
      }
    }
    return record;
  } finally {
    await lock.release();
  }
}

async function goOn(life: Life, record: VmRecord, signal?: AbortSignal): Promise<void> {
  const isUnwanted = await life.ledger.isWishedGone(record.key);
  const options = { ...(signal && { signal }) };
  if (record.ended || record.doing?.what === 'deleting') {
    await removeAll(life, record, { how: 'deleted', keep: record.doing?.keep, ...options });
    return;
  }
  if (isUnwanted) {
    await removeAll(life, record, { how: 'deleted', keep: keepsDisk(record), ...options });
    return;
  }
  switch (record.doing?.what) {
    case 'creating': {
      const mayExist = record.instance_id !== undefined || record.attempts.some(({ outcome }) => outcome === undefined);
      if (!mayExist && life.now() - record.written > STILL_WANTED_MS)
        await removeAll(life, record, { how: 'failed', ...options });
      else await carryOut(life, record, signal);
      return;
    }
    case 'starting':
      return start(life, record, signal);
    case 'stopping':
      return stop(life, record, signal);
  }
}
