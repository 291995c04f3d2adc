/** Runs that have to end because their machine does: each stops at its step and writes a checkpoint. */
import { setTimeout as sleep } from 'node:timers/promises';
import { lockHolder } from '../runs/runLock';
import { stopRun } from '../serve/runControl';
import { isLive, type RunsWatch, type WatchedRun } from './lookAtRuns';

const POLL_MS = 100;

/**
 * @param limitMs real time: what the machine has left does not depend on anybody's clock
 * @returns the runs that were live, as they stand now
 */
export async function interruptRuns(
  watch: RunsWatch,
  limitMs: number,
  log: (text: string) => void,
): Promise<WatchedRun[]> {
  const { runs } = await watch.look();
  const live = runs.filter(isLive);
  const until = performance.now() + limitMs;
  await Promise.all(
    live.map(({ dir }) =>
      stopRun(dir).catch((error: unknown) =>
        log(`${dir} is not to be stopped: ${error instanceof Error ? error.message : error}`),
      ),
    ),
  );
  for (const { dir } of live) {
    while ((await lockHolder(dir)) !== undefined && performance.now() < until) await sleep(POLL_MS);
  }
  const dirs = new Set(live.map(({ dir }) => dir));
  return (await watch.look()).runs.filter(({ dir }) => dirs.has(dir));
}
