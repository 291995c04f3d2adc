/** Takes the lock of `DIR`, says `held` or the failure's code, and holds it until its input ends or it is killed. */
import { TuneyardError } from '@protocol/errors';
import { acquireLock } from '@runner/runs/runLock';

const lock = await acquireLock(process.argv[2]!).catch((error: unknown) => {
  if (!(error instanceof TuneyardError)) throw error;
  return error;
});
process.stdout.write(lock instanceof TuneyardError ? `${lock.code}\n` : 'held\n');
for await (const _ of process.stdin);
if (!(lock instanceof TuneyardError)) await lock.release();
