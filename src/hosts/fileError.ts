/** What a failed operation on a file of this machine says to a person. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';

export function fileError(error: unknown, path: string): TuneyardError {
  if (error instanceof TuneyardError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const options = { cause: error, data: { path } };
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new TuneyardError('file_not_found', l10n.t('There is no {0} on this machine.', path), options);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new TuneyardError(
        'not_writable',
        l10n.t('{0} cannot be accessed on this machine: permission denied.', path),
        options,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new TuneyardError(
        'disk_full',
        l10n.t('The disk of this machine is full: {0} cannot be written. Free some space.', path),
        options,
      );
    default:
      return new TuneyardError('transfer_failed', l10n.t('{0} cannot be accessed: {1}.', path, message), options);
  }
}
