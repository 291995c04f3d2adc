/** New files beside old ones: whole or not at all, and never over anything that is there. */
import { link, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { asWriteError, systemErrorCode } from '../../hub/diskError';
import { syncDirectory, writeSynced } from '../../hub/durableFile';

/** @throws TuneyardError `usage` where there is such a file; `disk_full`, `not_writable`, `cancelled`; what `parts` throws */
export async function writeNewFile(
  path: string,
  parts: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = `${path}.part-${process.pid}-${process.hrtime.bigint()}`;
  try {
    await writeSynced(temporary, parts, signal, path);
    await link(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') {
      throw new TuneyardError('usage', 'there is such a file already, and it stays as it is; choose another name.', {
        place: { file: path },
      });
    }
    throw asWriteError(error, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
