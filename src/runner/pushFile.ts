/** A file sent to a host that cannot fetch it: gone on with where it broke off, and there only if it is right. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host, TransferOptions } from '../hosts/host';
import { sha256Of } from './fetchFile';
import { shell } from './remoteDir';

const SUM_LIMIT_MS = 120_000;
const SUM = `{ sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -d ' ' -f 1`;

/** @throws TuneyardError what `Host.upload` throws; `transfer_failed` where it does not arrive as it was sent */
export async function pushFile(
  host: Host,
  local: string,
  remote: string,
  options: Pick<TransferOptions, 'signal' | 'onProgress'>,
): Promise<void> {
  const wanted = await sha256Of(local);
  const { signal } = options;
  const found = await host.stat(remote);
  // What broke off may be of another file of that name: then it is sent once more from its start.
  for (const from of found?.kind === 'file' && found.bytes > 0 ? [found.bytes, 0] : [0]) {
    await host.upload(local, remote, { ...options, from });
    const sum = await shell(host, SUM, [remote], { timeoutMs: SUM_LIMIT_MS, ...(signal && { signal }) });
    if (sum.trim() === wanted) return;
    await host.exec(['rm', '-f', remote]);
  }
  throw new TuneyardError(
    'transfer_failed',
    l10n.t('{0} arrives damaged on {1}; check its disk and try again.', remote, host.label),
  );
}
