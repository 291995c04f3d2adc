/**
 * One installation at a time on a host, from however many windows. The lock is a folder, which can be made only once;
 * its holder touches it as long as it lives, so that one that was left by a lost window expires.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import { throwIfAborted } from '../hosts/limits';
import { shell } from './remoteDir';

const HEARTBEAT_MS = 20_000;
const STALE_SECONDS = 90;
const POLL_MS = 1000;
/** However slow the other one is. */
const PATIENCE_MS = 15 * 60_000;

/** $1: the owner, $2: seconds. Says `ours`, also where a lost connection of ours left it, or `theirs`. */
const TAKE = `
L="$HOME/.tuneyard/install.lock"; mkdir -p "$HOME/.tuneyard" || exit 1
if mkdir "$L" 2>/dev/null; then printf %s "$1" > "$L/owner" && echo ours; exit; fi
if [ "$(cat "$L/owner" 2>/dev/null)" = "$1" ]; then touch "$L"; echo ours; exit; fi
now=$(date +%s); at=$(stat -c %Y "$L" 2>/dev/null || stat -f %m "$L" 2>/dev/null || echo "$now")
if [ $((now - at)) -gt "$2" ]; then mv "$L" "$L.stale.$1" 2>/dev/null && rm -rf "$L.stale.$1"; fi
echo theirs`;
const TOUCH = `[ "$(cat "$HOME/.tuneyard/install.lock/owner" 2>/dev/null)" = "$1" ] && touch "$HOME/.tuneyard/install.lock"`;
const LEAVE = `[ "$(cat "$HOME/.tuneyard/install.lock/owner" 2>/dev/null)" != "$1" ] || rm -rf "$HOME/.tuneyard/install.lock"`;

/**
 * Runs `work` while holding the lock.
 * @param owner names this window
 * @param onWait told once, where somebody else holds it
 */
export async function withInstallLock<T>(
  host: Host,
  work: () => Promise<T>,
  { owner, signal, onWait }: { owner: string; signal?: AbortSignal; onWait?(): void },
): Promise<T> {
  const limit = Date.now() + PATIENCE_MS;
  for (let tries = 0; ; tries++) {
    throwIfAborted(signal);
    const answer = await shell(host, TAKE, [owner, String(STALE_SECONDS)], { ...(signal && { signal }) });
    if (answer.includes('ours')) break;
    if (tries === 0) onWait?.();
    if (Date.now() > limit) {
      throw new TuneyardError(
        'install_failed',
        l10n.t(
          'Another window has been installing on {0} for {1} minutes; close it, or remove ~/.tuneyard/install.lock there.',
          host.label,
          PATIENCE_MS / 60_000,
        ),
      );
    }
    await sleep(POLL_MS, undefined, { ...(signal && { signal }) }).catch(() => {});
  }
  const heartbeat = setInterval(() => {
    // A beat that fails is made up for by the next; a connection that is lost ends the work itself.
    if (host.state.kind === 'connected') host.exec(['sh', '-c', TOUCH, 'sh', owner]).catch(() => {});
  }, HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    // Without a connection it expires by itself.
    if (host.state.kind === 'connected') await host.exec(['sh', '-c', LEAVE, 'sh', owner]).catch(() => {});
  }
}
