/** One text of a comparison, what is to be known of it, and what can be done with it. */
import type { CompareModel, CompareText } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { html, nothing, type TemplateResult } from 'lit';
import { guard } from 'lit/directives/guard.js';
import { button } from './controls';
import { formatNumber, formatSeconds } from './format';
import { markedText } from './markedText';

export interface CompareCellOptions {
  model: CompareModel;
  text: CompareText | undefined;
  /** What the first column wrote, to tell what differs; absent in that column. */
  base: string | undefined;
  selected: boolean;
  /** Says that this text is better than another one; absent where it is not clear than which. */
  onBetter?: (() => void) | undefined;
  onSelect(): void;
  onRun(): void;
}

export function compareCell(options: CompareCellOptions): TemplateResult {
  const { model, text, selected } = options;
  const done = text?.state === 'done';
  return html`<td data-column=${model.label} class=${`${text?.stale ? 'stale' : ''} ${selected ? 'selected' : ''}`}>
    ${body(options)}
    ${text?.cell && done ? facts(text) : nothing}
    <span class="group tools">
      ${
        text === undefined || done || text.state === 'failed'
          ? button({
              label: done ? l10n.t('Rerun') : l10n.t('Run'),
              title: l10n.t('Write the text of {0} for this prompt', model.label),
              onClick: options.onRun,
            })
          : nothing
      }
      ${
        done
          ? button({
              label: selected ? l10n.t('Selected') : l10n.t('Select'),
              title: l10n.t('Select the text of {0} to say which of two is better', model.label),
              pressed: selected,
              onClick: options.onSelect,
            })
          : nothing
      }
      ${
        options.onBetter
          ? button({
              label: l10n.t('Better'),
              title: l10n.t('The text of {0} is the better one', model.label),
              onClick: options.onBetter,
            })
          : nothing
      }
    </span>
  </td>`;
}

function body({ text, base }: CompareCellOptions): TemplateResult {
  switch (text?.state) {
    case undefined:
      return html`<p class="note">${l10n.t('Not written yet')}</p>`;
    case 'waiting':
      return html`<p class="note">${l10n.t('Waiting …')}</p>`;
    case 'failed':
      return html`${text.text ? html`<p class="text">${text.text}</p>` : nothing}<p class="failed" role="alert">${text.message}</p>`;
    case 'running':
      return html`<p class="text" aria-busy="true">${text.text}<span class="caret" aria-hidden="true"></span></p>`;
    case 'done':
      return text.text.trim() === ''
        ? html`<p class="note">${l10n.t('(no text)')}</p>`
        : html`<p class="text">${guard([text.text, base, text.cell], () => marked(text, base))}</p>`;
  }
}

function marked(text: CompareText, base: string | undefined): TemplateResult[] {
  return markedText(text.text, base, text.cell?.repeated ?? []).map(({ text: piece, differs, repeats }) =>
    differs || repeats
      ? html`<span class=${`${differs ? 'differs' : ''} ${repeats ? 'repeats' : ''}`}>${piece}</span>`
      : html`${piece}`,
  );
}

function facts({ cell, stale }: CompareText): TemplateResult | typeof nothing {
  if (!cell) return nothing;
  const { metrics, seconds, weights } = cell;
  return html`<p class="facts">
    ${stale ? html`<span class="staleMark">${l10n.t('stale')}</span>` : nothing}
    <span title=${l10n.t('Different words of {0}', metrics.words)}>${l10n.t('{0} unique words', metrics.unique_words)}</span>
    <span title=${l10n.t('Different pairs of neighbouring words, as a share of the words')}>${l10n.t('distinct-2 {0}', formatNumber(metrics.distinct_2))}</span>
    <span>${formatSeconds(seconds)}</span>
    <code title=${l10n.t('Hash of the weights that wrote this')}>${weights}</code>
  </p>`;
}
