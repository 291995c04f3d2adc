/** How a run stands, in the figures that a person looks for first, and what helps now. */
import type { LossStatus, PanelAction } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import type { FollowedRun, HostRun, LogColumns } from '../runs/runs';

/** The pace is that of so many rows. */
const PACE_ROWS = 20;

export function lossStatus(followed: FollowedRun, run: HostRun | undefined, host: Host | undefined): LossStatus {
  const { log, start, end, evals } = followed;
  const row = log.length - 1;
  // What events say is newer than what a list said, except that only the list knows of a process that is gone.
  const state = end && run?.state !== 'running' && run?.state !== 'queued' ? end.status : (run?.state ?? 'unknown');
  const step = Math.max(known(log.step[row]) ?? 0, evals.at(-1)?.step ?? 0, end?.step ?? run?.step ?? 0);
  const total = start?.total_steps ?? run?.total_steps ?? 0;
  const pace = paceOf(log);
  const running = state === 'running';
  const isGone = host === undefined && state === 'unknown';
  const hostLabel = host?.label ?? followed.ref.host.replace(/^ssh:/, '');
  const message = isGone
    ? l10n.t('{0} is no longer among the hosts: it was removed, or deleted.', hostLabel)
    : state === 'queued'
      ? l10n.t('It waits for its device.')
      : (end?.message ?? run?.message);
  const loss = known(log.loss[row]) ?? run?.last_loss;
  const evalLoss = evals.at(-1)?.eval_loss ?? run?.eval_loss;
  const epoch = known(log.epoch[row]);
  const left = pace && total > step ? (total - step) / pace : run?.seconds_left;
  return {
    state,
    offline: host !== undefined && host.id !== 'local' && host.state.kind !== 'connected',
    hostLabel,
    step,
    total_steps: total,
    ...(epoch !== undefined && { epoch }),
    ...(loss !== undefined && { loss }),
    ...(evalLoss !== undefined && { eval_loss: evalLoss }),
    ...(running && pace !== undefined && { steps_per_second: pace }),
    ...(running && left !== undefined && { seconds_left: left }),
    ...(start?.ranks && { ranks: start.ranks.map((place, i) => ({ ...place, ...timeOf(followed.rankSeconds[i]) })) }),
    ...(followed.skippedSteps > 0 && { skipped_steps: followed.skippedSteps }),
    ...(run?.updated && { updated: run.updated }),
    ...(message && { message }),
    actions: isGone ? [] : actionsOf(state, followed.checkpoints.length > 0),
  };
}

const timeOf = (seconds: number | undefined) => (seconds === undefined ? {} : { seconds });

function actionsOf(state: LossStatus['state'], hasCheckpoint: boolean): PanelAction[] {
  switch (state) {
    case 'completed':
      return ['compare', 'export'];
    case 'stopped':
      return hasCheckpoint ? ['resume', 'compare'] : ['resume', 'showLog'];
    case 'failed':
    case 'crashed':
      return hasCheckpoint ? ['showLog', 'resume'] : ['showLog'];
    case 'running':
    case 'queued':
      return ['stop'];
    case 'unknown':
      return ['connect'];
  }
}

/** Steps a second over the last rows. */
function paceOf({ step, seconds, length }: LogColumns): number | undefined {
  const from = Math.max(0, length - 1 - PACE_ROWS);
  const steps = step[length - 1]! - step[from]!;
  const took = seconds[length - 1]! - seconds[from]!;
  return length > 1 && steps > 0 && took > 0 ? steps / took : undefined;
}

const known = (value: number | undefined): number | undefined =>
  value !== undefined && Number.isFinite(value) ? value : undefined;
