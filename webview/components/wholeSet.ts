/** The whole set: its lengths, what is odd in it and where, and whether there is enough of it. */
import type { DatasetReport, Finding } from '@protocol/dataset';
import type { DatasetPanelState } from '@protocol/datasetPanel';
import * as l10n from '@vscode/l10n';
import { html, nothing, type TemplateResult } from 'lit';
import { button } from './controls';

export interface WholeSetActions {
  show(row: number): void;
  report(): void;
  cancel(): void;
  drop(finding: Finding): void;
  deduplicate(near: boolean): void;
  split(): void;
  convert(): void;
}

const SHOWN_ROWS = 50;

export function wholeSet(state: DatasetPanelState, actions: WholeSetActions): TemplateResult {
  const { report, reporting, reportProblem } = state;
  if (reporting) return progress(reporting, actions);
  if (!report) {
    return html`<div class="empty">
      <p>${l10n.t('Look at every row: lengths, duplicates, rows that cannot be used, secrets, and whether there is enough to learn from.')}</p>
      ${reportProblem === undefined ? nothing : html`<p class="problem">${reportProblem}</p>`}
      ${button({ label: l10n.t('Look at the whole set'), kind: 'primary', onClick: actions.report })}
    </div>`;
  }
  const unit = state.opened?.tokenizer ? l10n.t('tokens') : l10n.t('words');
  return html`<div class="whole">
    ${advice(report)}
    <section>
      <h2>${l10n.t('Length of a sample, in {0}', unit)}</h2>
      ${bars(
        report.histogram.map(({ from, to, count }) => ({
          label: from === to ? `${from}` : `${from}–${to}`,
          count,
          isOver: from > state.settings.max_length,
        })),
      )}
      <p class="note">${lengthText(report, state.settings.max_length)}</p>
    </section>
    <section>
      <h2>${l10n.t('Findings')}</h2>
      ${
        report.findings.length === 0
          ? html`<p>✓ ${l10n.t('Nothing is cut off, no row comes twice, every row can be used.')}</p>`
          : report.findings.map((finding) => findingBlock(finding, actions))
      }
    </section>
    ${
      report.labels && report.labels.length > 0
        ? html`<section>
            <h2>${l10n.t('Labels')}</h2>
            ${bars(report.labels.map(({ label, count }) => ({ label, count, isOver: false })))}
          </section>`
        : nothing
    }
    ${
      report.languages.length > 0
        ? html`<section>
            <h2>${l10n.t('Scripts')}</h2>
            ${bars(report.languages.map(({ script, share }) => ({ label: script, count: share, isOver: false, isShare: true })))}
          </section>`
        : nothing
    }
    <section>
      <h2>${l10n.t('New files from this data')}</h2>
      <div class="group">
        ${button({ label: l10n.t('Split…'), title: l10n.t('Into one file to train on and one to evaluate on'), onClick: actions.split })}
        ${button({ label: l10n.t('Convert…'), title: l10n.t('Into another format'), onClick: actions.convert })}
      </div>
    </section>
  </div>`;
}

function progress({ done, total }: { done: number; total: number }, { cancel }: WholeSetActions): TemplateResult {
  const share = total > 0 ? done / total : 0;
  return html`<div class="empty">
    <p>${l10n.t('Looking at every row: {0}%', Math.floor(100 * share))}</p>
    <progress max="1" value=${share}></progress>
    ${button({ label: l10n.t('Cancel'), onClick: cancel })}
  </div>`;
}

const advice = ({ advice: said }: DatasetReport): TemplateResult | typeof nothing =>
  said.length === 0 ? nothing : html`<section class="advice">${said.map((text) => html`<p>${text}</p>`)}</section>`;

function lengthText({ lengths, tokens, supervised, truncated, rows }: DatasetReport, maxLength: number): string {
  const parts = [
    l10n.t('{0} to {1}, median {2}, 95% up to {3}.', lengths.min, lengths.max, lengths.median, lengths.p95),
    l10n.t('{0}% of all tokens are learned.', percent(tokens > 0 ? supervised / tokens : 0)),
  ];
  if (truncated > 0)
    parts.push(
      l10n.t('{0} samples ({1}%) are longer than {2} and cut off.', truncated, percent(truncated / rows), maxLength),
    );
  return parts.join(' ');
}

/** Never 0 for something. */
const percent = (share: number): string => {
  const value = 100 * share;
  return value > 0 && value < 1 ? value.toPrecision(1) : String(Math.round(value));
};

function bars(
  items: readonly { label: string; count: number; isOver: boolean; isShare?: boolean }[],
): TemplateResult | typeof nothing {
  if (items.length === 0) return nothing;
  const most = Math.max(...items.map(({ count }) => count));
  return html`<table class="bars">
    <tbody>
      ${items.map(
        ({ label, count, isOver, isShare }) => html`<tr class=${isOver ? 'over' : ''}>
          <th scope="row">${label}</th>
          <td><span class="bar" .style=${`width:${most > 0 ? (100 * count) / most : 0}%`}></span></td>
          <td class="count">${isShare ? `${percent(count)}%` : count}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function findingBlock(finding: Finding, actions: WholeSetActions): TemplateResult {
  const { kind, text, rows, count } = finding;
  return html`<details class="finding" data-kind=${kind}>
    <summary>${text}</summary>
    <div class="group">
      ${
        kind === 'duplicate' || kind === 'near_duplicate'
          ? button({
              label: l10n.t('Remove duplicates…'),
              onClick: () => actions.deduplicate(kind === 'near_duplicate'),
            })
          : rows.length > 0 && rows.length === count && kind !== 'truncated' && kind !== 'leakage'
            ? button({ label: l10n.t('Drop these rows…'), onClick: () => actions.drop(finding) })
            : nothing
      }
    </div>
    <ul>
      ${rows.slice(0, SHOWN_ROWS).map(
        ({ row, line, detail, with: other }) => html`<li>
          <a href="#" @click=${follow(() => actions.show(row))}>${l10n.t('line {0}', line)}</a>${
            other === undefined
              ? nothing
              : html` = <a href="#" @click=${follow(() => actions.show(other))}>${l10n.t('row {0}', other + 1)}</a>`
          }${detail === undefined ? nothing : html`<span class="detail">${detail}</span>`}
        </li>`,
      )}
    </ul>
    ${count > SHOWN_ROWS ? html`<p class="note">${l10n.t('… and {0} more', count - Math.min(SHOWN_ROWS, rows.length))}</p>` : nothing}
  </details>`;
}

const follow = (work: () => void) => (event: Event) => {
  event.preventDefault();
  work();
};
