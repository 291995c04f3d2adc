/** The runs of a loss panel as CSV (RFC 4180): every log event, and the evaluations at their steps. */
import type { FollowedRun, LogColumns } from '../runs/runs';
import { runKey } from '../runs/runs';

const COLUMNS = [
  'epoch',
  'seconds',
  'tokens_seen',
  'loss',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'memory_bytes',
  'gpu_bytes',
  'gpu_utilization',
] as const satisfies readonly (keyof LogColumns)[];

/** Rows in a piece. */
const PIECE = 4096;

type Log = { [K in (typeof COLUMNS)[number] | 'step' | 'time']: Float64Array };

export function* lossCsv(runs: readonly FollowedRun[]): Generator<string> {
  yield `run,step,time,${COLUMNS.join(',')},eval_loss\r\n`;
  for (const run of runs) yield* rowsOf(run);
}

/** A long file is written while the run goes on: what is written is how it was at the beginning. */
function* rowsOf({ ref, log: live, evals }: FollowedRun): Generator<string> {
  const name = quoted(runKey(ref));
  const { length } = live;
  const log = Object.fromEntries(
    [...COLUMNS, 'step' as const, 'time' as const].map((column) => [column, live[column].slice(0, length)]),
  ) as Log;
  const pending = evals.map(({ step, time, eval_loss }) => ({ step, time, eval_loss }));
  const alone = ({ step, time, eval_loss }: (typeof pending)[number]) =>
    `${name},${step},${time}${','.repeat(COLUMNS.length + 1)}${number(eval_loss)}\r\n`;
  let piece: string[] = [];
  for (let row = 0; row < length; row++) {
    const step = log.step[row]!;
    while (pending[0] && pending[0].step < step) piece.push(alone(pending.shift()!));
    const cells = [name, number(step), time(log.time[row]!)];
    for (const column of COLUMNS) cells.push(number(log[column][row]!));
    cells.push(pending[0]?.step === step ? number(pending.shift()!.eval_loss) : '');
    piece.push(`${cells.join(',')}\r\n`);
    if (piece.length < PIECE) continue;
    yield piece.join('');
    piece = [];
  }
  piece.push(...pending.map(alone));
  if (piece.length > 0) yield piece.join('');
}

const number = (value: number): string => (Number.isFinite(value) ? String(value) : '');
const time = (value: number): string => (Number.isFinite(value) ? new Date(value).toISOString() : '');
const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
