import { TuneyardError } from '@protocol/errors';

/** The `code` of a Node system error (`ENOENT`, …), or undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  // Node's own (ERR_INVALID_ARG_TYPE, …) are faults of a program, not of the system.
  return typeof error.code === 'string' && !error.code.startsWith('ERR_') ? error.code : undefined;
}

/**
 * Turns what the file system threw while something was being written into the sentence a person needs.
 * @param file what was being written
 * @returns `disk_full`, `not_writable` or `file_not_found`; a TuneyardError and anything unknown come back as they are
 */
export function asWriteError(error: unknown, file: string): unknown {
  if (error instanceof TuneyardError) return error;
  const options = { place: { file }, cause: error };
  const code = systemErrorCode(error);
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new TuneyardError(
        'disk_full',
        'the disk became full while this was being written; free some space and start again.',
        options,
      );
    case 'EACCES':
    case 'EPERM':
      return new TuneyardError(
        'not_writable',
        'this may not be written; change the folder’s permissions or choose another folder.',
        options,
      );
    case 'EROFS':
      return new TuneyardError('not_writable', 'this lies on a read-only file system; choose another folder.', options);
    case 'ENOTDIR':
    case 'EEXIST':
      return new TuneyardError(
        'not_writable',
        'a file is in the way of this path; move it or choose another folder.',
        options,
      );
    case 'ENOENT':
      return new TuneyardError('file_not_found', 'the folder to write this into does not exist; create it.', options);
    case undefined:
      return error;
    default:
      return new TuneyardError('not_writable', `this cannot be written (${code}); check the disk.`, options);
  }
}
