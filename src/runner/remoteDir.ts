/** Small things done on a host with POSIX tools. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { ExecOptions, Host } from '../hosts/host';

/**
 * Runs a POSIX sh script with arguments ($1, $2 …).
 * @returns its output
 * @throws TuneyardError what `Host.exec` throws; `disk_full`, `not_writable`, `install_failed` with what the host said
 */
export async function shell(
  host: Host,
  script: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await host.exec(['sh', '-c', script, 'sh', ...args], options);
  if (code === 0) return stdout;
  const said = (stderr || stdout).trim().slice(-500);
  if (/No space left|Disk quota/i.test(said)) {
    throw new TuneyardError('disk_full', l10n.t('The disk of {0} is full; free some space there.', host.label));
  }
  if (/Permission denied|Read-only file system/i.test(said)) {
    throw new TuneyardError('not_writable', l10n.t('{0} does not let us write: {1}', host.label, said));
  }
  throw new TuneyardError('install_failed', l10n.t('{0} says (status {1}): {2}', host.label, code, said || '—'));
}

/** Says so beforehand, instead of filling the disk. */
export function requireSpace(host: Host, freeBytes: number | undefined, neededBytes: number): void {
  if (freeBytes === undefined || freeBytes >= neededBytes) return;
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  throw new TuneyardError(
    'disk_full',
    l10n.t(
      'The home directory on {0} has {1} MB left, and {2} MB are needed; free some space there.',
      host.label,
      megabytes(freeBytes),
      megabytes(neededBytes),
    ),
  );
}
