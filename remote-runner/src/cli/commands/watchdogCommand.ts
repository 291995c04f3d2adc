import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { version } from '../../version';
import type { CliContext } from '../context';

/**
 * Started at each boot of a VM by its startup script (src/cloud/startup.ts of the extension), which gives it
 * TUNEYARD_VM_BOOT. For tests alone: TUNEYARD_VM_HOME, the home directory whose SSH sessions count; and
 * TUNEYARD_WATCHDOG_SPEED, seconds that pass on its clock in one real second.
 */
export function watchdogCommand(context: CliContext): Command {
  return new Command('watchdog')
    .description('end this cloud VM when it is idle, and its results are safe; started at boot')
    .action(async () => {
      const { watchdog } = await import('../../watchdog/watchdog');
      const { MetadataServer } = await import('../../watchdog/metadataServer');
      const { tuneyardHome } = await import('../../runs/runDir');
      const { TUNEYARD_VM_BOOT: boot, TUNEYARD_VM_HOME: sessionsHome, TUNEYARD_WATCHDOG_SPEED } = process.env;
      const speed = Number(TUNEYARD_WATCHDOG_SPEED) || 1;
      const began = Date.now();
      const abort = new AbortController();
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => abort.abort());
      context.exitStatus = await watchdog({
        home: tuneyardHome(),
        metadata: new MetadataServer(),
        version: version(),
        now: () => began + (Date.now() - began) * speed,
        sleep: (ms, signal) => sleep(ms / speed, undefined, { signal }).catch(() => {}),
        log: (text) => context.streams.stdout.write(`${new Date().toISOString()} ${text}\n`),
        ...(boot && { boot }),
        ...(sessionsHome && { sessionsHome }),
        signal: abort.signal,
      });
      // Requests that wait for a change would hold it.
      process.exit(context.exitStatus);
    });
}
