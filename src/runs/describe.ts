/** A run in one line, and all that is known of it. */
import * as l10n from '@vscode/l10n';
import { formatAgo, formatDuration, formatLoss, formatShare } from '../ui/format';
import type { HostRun } from './runs';

/** `backstories`, of the id `20261122-143005-backstories-k3f9`. */
export function runName(id: string): string {
  return /^\d{8}-\d{6}-(.+)-[a-z0-9]{4}$/.exec(id)?.[1] ?? id;
}

/** What one wants to know of a run at a glance: how it goes, or how it went. */
export function runLine(run: HostRun, now: number, locale: string): string {
  const ago = formatAgo(Date.parse(run.updated), now, locale);
  const loss = run.last_loss === undefined ? undefined : l10n.t('loss {0}', formatLoss(run.last_loss));
  const best = evaluation(run) ?? loss;
  switch (run.state) {
    case 'queued':
      return l10n.t('waiting for its device');
    case 'running':
      if (run.stopping) return join([l10n.t('stopping after this step'), loss]);
      return join([
        run.total_steps === 0 ? l10n.t('starting') : (loss ?? l10n.t('first step')),
        percent(run),
        left(run),
      ]);
    case 'completed':
      return join([best, ago]);
    case 'stopped':
      return join([l10n.t('stopped at step {0}', run.step), best, ago]);
    case 'failed':
      return join([run.message ?? l10n.t('failed'), ago]);
    case 'crashed':
      return join([l10n.t('ended without a word at step {0}', run.step), ago]);
  }
}

export const stateWord = (state: HostRun['state']): string =>
  ({
    queued: l10n.t('Waiting'),
    running: l10n.t('Running'),
    completed: l10n.t('Completed'),
    stopped: l10n.t('Stopped'),
    failed: l10n.t('Failed'),
    crashed: l10n.t('Crashed'),
  })[state];

/** Rows of a name and a value. Values come from files and models: whoever shows them escapes them. */
export function runDetails(run: HostRun, now: number, locale: string): [string, string][] {
  const rows: [string, string | undefined][] = [
    [l10n.t('State'), join([stateWord(run.state), run.message])],
    [l10n.t('Step'), run.total_steps > 0 ? l10n.t('{0} of {1}', run.step, run.total_steps) : undefined],
    [l10n.t('Time left'), secondsLeft(run)],
    [l10n.t('Training loss'), run.last_loss === undefined ? undefined : formatLoss(run.last_loss)],
    [l10n.t('Evaluation loss'), run.eval_loss === undefined ? undefined : formatLoss(run.eval_loss)],
    [l10n.t('Accuracy'), run.eval_accuracy === undefined ? undefined : formatShare(run.eval_accuracy, locale)],
    [l10n.t('Model'), run.model],
    [l10n.t('Method'), run.method],
    [l10n.t('Device'), run.device],
    [l10n.t('Started'), formatAgo(Date.parse(run.started), now, locale)],
    [l10n.t('Last event'), formatAgo(Date.parse(run.updated), now, locale)],
    [l10n.t('Folder'), run.dir],
  ];
  return rows.flatMap(([name, value]) => (value ? [[name, value] satisfies [string, string]] : []));
}

/** `eval 3.35 ↓0.41`: against the first one. */
function evaluation({ eval_loss, first_eval_loss = eval_loss }: HostRun): string | undefined {
  if (eval_loss === undefined || first_eval_loss === undefined) return undefined;
  const change = eval_loss - first_eval_loss;
  const text = l10n.t('eval {0}', formatLoss(eval_loss));
  // Less than what is shown of the loss is no change.
  if (change === 0 || !(Math.abs(change) >= Math.abs(eval_loss) / 1000)) return text;
  return `${text} ${change < 0 ? '↓' : '↑'}${formatLoss(Number(Math.abs(change).toPrecision(2)))}`;
}

function percent({ step, total_steps }: HostRun): string | undefined {
  return total_steps > 0 ? `${Math.floor((100 * step) / total_steps)}%` : undefined;
}

function left(run: HostRun): string | undefined {
  const time = secondsLeft(run);
  return time === undefined ? undefined : l10n.t('{0} left', time);
}

function secondsLeft({ state, seconds_left }: HostRun): string | undefined {
  return state === 'running' && seconds_left !== undefined ? formatDuration(seconds_left) : undefined;
}

const join = (parts: readonly (string | undefined)[]): string => parts.filter(Boolean).join(' · ');
