/**
 * The watchdog as a program of its own (dist/watchdog.mjs): the whole runner would take twice the memory, on a machine that
 * it watches for days. bin/tuneyard.mjs starts it for `tuneyard watchdog`, once the startup script of a VM
 * (src/cloud/startup.ts of the extension) calls that, which gives it TUNEYARD_VM_BOOT.
 *
 * For tests alone: TUNEYARD_VM_HOME, the home directory whose SSH sessions count; TUNEYARD_WATCHDOG_SPEED, seconds that
 * pass on its clock in one real second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { tuneyardHome } from '../runs/runDir';
import { version } from '../version';
import { MetadataServer } from './metadataServer';
import { watchdog } from './watchdog';

/** @returns the exit status */
export async function main(): Promise<number> {
  const { TUNEYARD_VM_BOOT: boot, TUNEYARD_VM_HOME: sessionsHome, TUNEYARD_WATCHDOG_SPEED } = process.env;
  const speed = Number(TUNEYARD_WATCHDOG_SPEED) || 1;
  const began = Date.now();
  const abort = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => abort.abort());
  // A log that nobody reads any more is no reason to stop.
  process.stdout.on('error', () => {});
  const status = await watchdog({
    home: tuneyardHome(),
    metadata: new MetadataServer(),
    version: version(),
    now: () => began + (Date.now() - began) * speed,
    sleep: (ms, signal) => sleep(ms / speed, undefined, { signal }).catch(() => {}),
    log: (text) => process.stdout.write(`${new Date().toISOString()} ${text}\n`),
    ...(boot && { boot }),
    ...(sessionsHome && { sessionsHome }),
    signal: abort.signal,
  });
  // Requests that wait for a change would hold it.
  process.exit(status);
}
