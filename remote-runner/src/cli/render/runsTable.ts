import type { RunSummary } from '@protocol/runner';
import { formatDuration, formatLoss } from '../format';
import type { Output } from '../output';
import { plainTable } from '../table';

export function runsTable(runs: readonly RunSummary[], colors: Output['colors']): string {
  const state: Record<RunSummary['state'], (text: string) => string> = {
    queued: colors.dim,
    running: colors.cyan,
    completed: colors.green,
    stopped: colors.yellow,
    failed: colors.red,
    crashed: colors.red,
  };
  const loss = (value: number | undefined) => (value === undefined ? '' : formatLoss(value));
  const rows = runs.map((run) => [
    run.id,
    state[run.state](run.state),
    `${run.step}/${run.total_steps}`,
    loss(run.last_loss),
    loss(run.eval_loss),
    run.seconds_left === undefined ? '' : formatDuration(run.seconds_left),
    localTime(run.updated),
    run.model ?? '',
  ]);
  const failures = runs.flatMap(({ id, message }) => (message === undefined ? [] : [`${id}: ${message}`]));
  const table = plainTable(['Run', 'State', 'Step', 'Loss', 'Eval', 'Left', 'Updated', 'Model'], rows, [2, 3, 4, 5]);
  return [table, ...(failures.length > 0 ? ['', ...failures] : [])].join('\n');
}

/** `2026-11-22 23:16`, on this machine's clock. */
function localTime(iso: string): string {
  const date = new Date(iso);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
