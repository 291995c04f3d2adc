/** A run under the charts: how it stands, in one line, and what helps now. */
import type { LossRun, LossStatus, PanelAction } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { html, nothing, svg, type TemplateResult } from 'lit';
import { button } from './controls';
import { formatNumber, formatSeconds } from './format';
import type { RunLook } from './lossSeries';

export interface RunRowOptions {
  run: LossRun;
  look: RunLook;
  /** Whether its lines are drawn; absent where it is the only run. */
  drawn?: boolean;
  onToggle(): void;
  onRemove(): void;
  onAct(action: PanelAction): void;
}

export function runRow({ run, look, drawn, onToggle, onRemove, onAct }: RunRowOptions): TemplateResult {
  const several = drawn !== undefined;
  const { status } = run;
  return html`<li class="run">
    ${
      several
        ? html`<button
            class="name"
            role="switch"
            aria-checked=${String(drawn)}
            title=${drawn ? l10n.t('Hide the lines of {0}', run.label) : l10n.t('Show the lines of {0}', run.label)}
            @click=${onToggle}
          >
            ${swatch(look)}<span>${run.label}</span>
          </button>`
        : nothing
    }
    <span class=${`state ${status.state}`}>${stateText(status)}</span>
    <span class="figures">${figures(status).map((text, i) => html`${i > 0 ? ' · ' : ''}<span>${text}</span>`)}${ranksFigure(status)}${skippedFigure(status)}</span>
    ${status.offline ? html`<span class="offline">${offlineText(status)}</span>` : nothing}
    ${status.message ? html`<span class="message">${status.message}</span>` : nothing}
    <span class="group">
      ${(status.offline ? (['connect'] as const) : status.actions).map((action) =>
        button({ label: actionLabel(action), onClick: () => onAct(action) }),
      )}
      ${several ? button({ label: '×', kind: 'icon', title: l10n.t('Remove {0} from the charts', run.label), onClick: onRemove }) : nothing}
    </span>
  </li>`;
}

export function actionLabel(action: PanelAction): string {
  switch (action) {
    case 'start':
      return l10n.t('Start a fine-tune');
    case 'connect':
      return l10n.t('Connect');
    case 'resume':
      return l10n.t('Resume');
    case 'stop':
      return l10n.t('Stop');
    case 'showLog':
      return l10n.t('Show log');
    case 'compare':
      return l10n.t('Compare');
    case 'export':
      return l10n.t('Export');
  }
}

/** What a person is told where there is nothing to draw yet. */
export function emptyText({ status, loading }: LossRun): string {
  const { state, hostLabel, offline, message } = status;
  if (loading) {
    return offline
      ? l10n.t('{0} is not connected, and nothing of this run was read before. Connect to see it.', hostLabel)
      : l10n.t('Reading what the run wrote …');
  }
  switch (state) {
    case 'unknown':
      return message ?? l10n.t('Nothing is known of this run yet. Connect to {0} to see it.', hostLabel);
    case 'queued':
      return l10n.t('The run waits for its device. It begins by itself when the runs before it are done.');
    case 'running':
      return l10n.t('The run has begun. The first values come after its first steps.');
    default:
      return l10n.t('The run ended before it wrote a value.');
  }
}

/** The figures as a sentence, for whoever does not see them. */
export function spoken(run: LossRun): string {
  return [run.label, stateText(run.status), ...figures(run.status)].join(', ');
}

function stateText({ state }: LossStatus): string {
  switch (state) {
    case 'running':
      return l10n.t('● running');
    case 'queued':
      return l10n.t('◌ queued');
    case 'completed':
      return l10n.t('✓ completed');
    case 'stopped':
      return l10n.t('■ stopped');
    case 'failed':
      return l10n.t('✗ failed');
    case 'crashed':
      return l10n.t('✗ crashed');
    case 'unknown':
      return l10n.t('? unknown');
  }
}

function figures(status: LossStatus): string[] {
  const { step, total_steps, epoch, loss, eval_loss, steps_per_second, seconds_left } = status;
  return [
    total_steps > 0 ? l10n.t('step {0}/{1}', whole(step), whole(total_steps)) : '',
    epoch === undefined ? '' : l10n.t('epoch {0}', formatNumber(epoch)),
    loss === undefined ? '' : l10n.t('loss {0}', formatNumber(loss)),
    eval_loss === undefined ? '' : l10n.t('eval {0}', formatNumber(eval_loss)),
    steps_per_second === undefined ? '' : l10n.t('{0} it/s', formatNumber(steps_per_second)),
    seconds_left === undefined ? '' : l10n.t('{0} left', formatSeconds(seconds_left)),
  ].filter((text) => text !== '');
}

/** A rank that takes so much longer than the middle one is told of. */
const SLOW = 1.25;

/** How many ranks there are, each with its place where one asks; and the one that the others wait for. */
function ranksFigure({ state, ranks }: LossStatus): TemplateResult | typeof nothing {
  if (!ranks) return nothing;
  const each = ranks.map(({ host, device, seconds }, rank) =>
    seconds === undefined
      ? l10n.t('rank {0}: {1}, {2}', rank, host, device)
      : l10n.t('rank {0}: {1}, {2}, {3} s a step', rank, host, device, formatNumber(seconds)),
  );
  const slow = state === 'running' ? slowest(ranks) : undefined;
  return html` · <span title=${each.join('\n')}>${l10n.t('{0} ranks', ranks.length)}</span>${
    slow
      ? html` · <span class="slow" title=${each[slow.rank]!}>${l10n.t('all wait for rank {0}: {1} times as slow', slow.rank, formatNumber(slow.times))}</span>`
      : nothing
  }`;
}

function skippedFigure({ skipped_steps }: LossStatus): TemplateResult | typeof nothing {
  if (!skipped_steps) return nothing;
  const why = l10n.t(
    'Gradients that float16 cannot hold: these steps changed no weight, and the loss is scaled less since. A few are usual, most of all at the start; with many, use bf16.',
  );
  return html` · <span title=${why}>${skipped_steps === 1 ? l10n.t('1 step skipped') : l10n.t('{0} steps skipped', skipped_steps)}</span>`;
}

function slowest(ranks: NonNullable<LossStatus['ranks']>): { rank: number; times: number } | undefined {
  const seconds = ranks.map(({ seconds = 0 }) => seconds);
  const middle = [...seconds].sort((a, b) => a - b)[(seconds.length - 1) >> 1]!;
  const rank = seconds.indexOf(Math.max(...seconds));
  const times = seconds[rank]! / middle;
  return Number.isFinite(times) && times >= SLOW ? { rank, times: Number(times.toFixed(1)) } : undefined;
}

/** With thin spaces between thousands. */
const whole = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');

function offlineText({ hostLabel, updated }: LossStatus): string {
  return updated
    ? l10n.t('{0} is not connected: as of {1}.', hostLabel, ago(updated))
    : l10n.t('{0} is not connected.', hostLabel);
}

/** "5 minutes ago", in the editor's language. */
function ago(time: string): string {
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [amount, unit] =
    seconds > -90
      ? ([seconds, 'second'] as const)
      : seconds > -5400
        ? ([seconds / 60, 'minute'] as const)
        : seconds > -129_600
          ? ([seconds / 3600, 'hour'] as const)
          : ([seconds / 86_400, 'day'] as const);
  const format = new Intl.RelativeTimeFormat(document.documentElement.lang || 'en', { numeric: 'auto' });
  return format.format(Math.min(0, Math.round(amount)), unit);
}

function swatch({ color, dash }: RunLook): TemplateResult {
  return svg`<svg class="swatch" width="26" height="10" aria-hidden="true">
    <line x1="1" y1="5" x2="25" y2="5" stroke=${color} stroke-width="2.5" stroke-dasharray=${dash.join(' ')} />
  </svg>` as unknown as TemplateResult;
}
