/** The compare panel: prompts down, models across. Texts are written by the runner and kept by the extension. */
import type {
  CompareHostContract,
  CompareModel,
  ComparePageContract,
  ComparePrompt,
  CompareState,
  CompareText,
} from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { html, nothing, render, type TemplateResult } from 'lit';
import { repeat } from 'lit/directives/repeat.js';
import { compareCell } from '../components/compareCell';
import { button, textArea } from '../components/controls';
import { samplingBar } from '../components/samplingBar';
import { connect } from '../rpc';

const { peer, state: kept, keep } = connect<ComparePageContract, CompareHostContract, CompareState>();

let state: CompareState | undefined = kept;
/** At most two texts of one prompt, of which one may be called better. */
let selection: { prompt: string; models: string[] } | undefined;
let wasRunning = false;

peer.on('compare/changed', (changed) => take(changed));
peer.on('compare/texts', (texts) => {
  if (!state) return;
  const newer = new Map(texts.map((text) => [keyOf(text), text]));
  take({ ...state, texts: state.texts.map((text) => newer.get(keyOf(text)) ?? text) });
});

const keyOf = (text: { prompt: string; model: string }) => `${text.prompt} ${text.model}`;

function take(changed: CompareState): void {
  state = changed;
  keep(changed);
  if (selection && !selection.models.every((model) => textOf(selection!.prompt, model)?.state === 'done'))
    selection = undefined;
  draw();
  if (wasRunning && !changed.running) say(l10n.t('All texts are written.'));
  wasRunning = changed.running !== undefined;
}

const textOf = (prompt: string, model: string): CompareText | undefined =>
  state?.texts.find((text) => text.prompt === prompt && text.model === model);

// What a person does

function select(prompt: string, model: string): void {
  const models = selection?.prompt === prompt ? selection.models : [];
  const rest = models.includes(model) ? models.filter((one) => one !== model) : [...models, model].slice(-2);
  selection = rest.length > 0 ? { prompt, models: inOrder(rest) } : undefined;
  draw();
}

const inOrder = (models: string[]) => (state?.models ?? []).map(({ id }) => id).filter((id) => models.includes(id));

function prefer(prompt: string, chosen: string, rejected: string): void {
  selection = undefined;
  void peer.request('compare/prefer', { prompt, chosen, rejected });
  draw();
}

/** The text that this one would be better than: the other selected one, or the other of two. */
function rivalOf(prompt: string, model: string): string | undefined {
  if (textOf(prompt, model)?.state !== 'done') return undefined;
  const written = (state?.models ?? []).filter(({ id }) => textOf(prompt, id)?.state === 'done').map(({ id }) => id);
  const rivals = (selection?.prompt === prompt ? selection.models : written.length === 2 ? written : []).filter(
    (id) => id !== model,
  );
  return rivals.length === 1 ? rivals[0] : undefined;
}

document.addEventListener('keydown', (event) => {
  if (!selection || event.defaultPrevented || isField(event.target)) return;
  const { prompt, models } = selection;
  const [left, right] = models;
  if (event.key === 'Escape') selection = undefined;
  else if (event.key === 'ArrowLeft' && left && right) prefer(prompt, left, right);
  else if (event.key === 'ArrowRight' && left && right) prefer(prompt, right, left);
  else return;
  event.preventDefault();
  draw();
});

const isField = (target: EventTarget | null) =>
  target instanceof HTMLElement && /^(vscode-text-(field|area)|input|textarea)$/i.test(target.tagName);

// The page

function page({ models, prompts, sampling, texts, running, kept: pairs, keptIn }: CompareState): TemplateResult {
  const missing =
    models.length * prompts.length -
    texts.filter((text) => text.state !== 'failed' && !text.stale && isShown(text)).length;
  return html`
    <div class="bars">
      ${samplingBar(sampling, (part) => void peer.request('compare/setSampling', part))}
      <div class="toolbar" role="toolbar" aria-label=${l10n.t('The comparison')}>
        ${
          running
            ? button({ label: l10n.t('Cancel'), onClick: () => void peer.request('compare/cancel', {}) })
            : button({
                label: missing > 0 ? l10n.t('Run {0}', missing) : l10n.t('Rerun all'),
                title:
                  missing > 0 ? l10n.t('Write the texts that are missing or stale') : l10n.t('Write all texts again'),
                kind: 'primary',
                disabled: models.length === 0 || prompts.length === 0,
                onClick: () => void peer.request('compare/run', { what: missing > 0 ? 'missing' : 'all' }),
              })
        }
        ${button({ label: l10n.t('Models…'), title: l10n.t('Add models to compare'), onClick: pickModels })}
        <span class="busy">${running?.join(' · ')}</span>
        <span class="gap"></span>
        <span class="group">
          ${
            keptIn !== undefined
              ? button({
                  label: pairs === 1 ? l10n.t('1 pair kept') : l10n.t('{0} pairs kept', pairs),
                  title: l10n.t('Open {0}', keptIn),
                  onClick: () => void peer.request('compare/openKept', {}),
                })
              : nothing
          }
          ${button({
            label: l10n.t('Copy'),
            title: l10n.t('Copy the comparison as Markdown'),
            disabled: texts.length === 0,
            onClick: () => void peer.request('compare/copyMarkdown', {}),
          })}
          ${button({
            label: 'JSON',
            title: l10n.t('Save the comparison as JSON'),
            disabled: texts.length === 0,
            onClick: () => void peer.request('compare/saveJson', {}),
          })}
        </span>
      </div>
    </div>
    ${models.length > 0 ? table(models, prompts) : noModels()}
    ${models.length > 0 ? addPrompt() : nothing}
    ${models.length > 1 && prompts.length > 0 ? legend() : nothing}
    ${selection?.models.length === 2 ? choice(selection.prompt, selection.models) : nothing}
    <p id="live" class="hidden" role="status" aria-live="polite"></p>
  `;
}

function isShown({ prompt, model }: CompareText): boolean {
  return Boolean(state?.prompts.some(({ id }) => id === prompt) && state.models.some(({ id }) => id === model));
}

function noModels(): TemplateResult {
  return html`<div class="empty">
    <p>${l10n.t('Put what models write from the same prompts side by side: a base model, checkpoints, and what runs came to.')}</p>
    ${button({ label: l10n.t('Choose models'), kind: 'primary', onClick: pickModels })}
  </div>`;
}

function table(models: readonly CompareModel[], prompts: readonly ComparePrompt[]): TemplateResult {
  return html`<table>
    <thead>
      <tr>
        <th scope="col">${l10n.t('Prompt')}</th>
        ${repeat(models, ({ id }) => id, columnHead)}
      </tr>
    </thead>
    <tbody>
      ${repeat(
        prompts,
        ({ id }) => id,
        (prompt) => html`<tr>
          <th scope="row">${promptCell(prompt)}</th>
          ${repeat(
            models,
            ({ id }) => id,
            (model) => cell(prompt, model, models[0]!),
          )}
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function columnHead(model: CompareModel): TemplateResult {
  const weights = state?.texts.find((text) => text.model === model.id && text.cell)?.cell?.weights;
  const several = new Set(state?.models.map(({ host }) => host)).size > 1;
  return html`<th scope="col" title=${model.path}>
    <span class="head">
      <span class="label">${model.label}${model.best ? html` <span title=${l10n.t('The best checkpoint')}>★</span>` : nothing}</span>
      ${button({
        label: '×',
        kind: 'icon',
        title: l10n.t('Remove {0}', model.label),
        onClick: () => void peer.request('compare/removeModel', { model: model.id }),
      })}
    </span>
    <span class="about">
      ${several ? html`<span>${model.hostLabel}</span>` : nothing}
      ${weights ? html`<code title=${l10n.t('Hash of its weights')}>${weights}</code>` : nothing}
    </span>
  </th>`;
}

/** Letters across the column of prompts, about. */
const PROMPT_COLUMN = 22;

/** How many lines a text takes in the column of prompts, at least. */
const linesOf = (text: string): number =>
  text.split('\n').reduce((lines, line) => lines + Math.max(1, Math.ceil(line.length / PROMPT_COLUMN)), 0);

function promptCell({ id, text }: ComparePrompt): TemplateResult {
  return html`${textArea({
    label: l10n.t('Prompt'),
    value: text,
    rows: Math.min(10, Math.max(2, linesOf(text))),
    onChange: (changed) => void peer.request('compare/editPrompt', { prompt: id, text: changed }),
  })}
    <span class="group tools">
      ${button({
        label: l10n.t('Rerun row'),
        title: l10n.t('Write the texts of all models for this prompt'),
        onClick: () => void peer.request('compare/run', { what: 'all', prompt: id }),
      })}
      ${button({
        label: '×',
        kind: 'icon',
        title: l10n.t('Remove this prompt'),
        onClick: () => void peer.request('compare/removePrompt', { prompt: id }),
      })}
    </span>`;
}

function cell(prompt: ComparePrompt, model: CompareModel, first: CompareModel): TemplateResult {
  const base = model === first ? undefined : textOf(prompt.id, first.id);
  const rival = rivalOf(prompt.id, model.id);
  return compareCell({
    model,
    text: textOf(prompt.id, model.id),
    base: base?.state === 'done' ? base.text : undefined,
    selected: selection?.prompt === prompt.id && selection.models.includes(model.id),
    onSelect: () => select(prompt.id, model.id),
    onRun: () => void peer.request('compare/run', { what: 'all', prompt: prompt.id, model: model.id }),
    onBetter: rival === undefined ? undefined : () => prefer(prompt.id, model.id, rival),
  });
}

function addPrompt(): TemplateResult {
  const add = () => {
    const field = document.querySelector<HTMLTextAreaElement>('.add vscode-text-area')!;
    const text = field.value;
    if (text.trim() === '') return;
    field.value = '';
    void peer.request('compare/addPrompt', { text });
  };
  return html`<div
    class="add"
    @keydown=${(event: KeyboardEvent) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) add();
    }}
  >
    ${textArea({ label: l10n.t('New prompt'), value: '', placeholder: l10n.t('A text to go on from'), onChange: () => {} })}
    ${button({ label: l10n.t('Add prompt'), title: l10n.t('Add this prompt (Ctrl+Enter)'), onClick: add })}
  </div>`;
}

function legend(): TemplateResult {
  return html`<p class="legend">
    <span><span class="differs">${l10n.t('Tinted')}</span> ${l10n.t('differs from the first column')}</span>
    <span><span class="repeats">${l10n.t('Underlined')}</span> ${l10n.t('four words that came before in the text')}</span>
  </p>`;
}

function choice(prompt: string, [left, right]: string[]): TemplateResult | typeof nothing {
  const label = (id: string | undefined) => state?.models.find((model) => model.id === id)?.label ?? '';
  if (!left || !right) return nothing;
  return html`<div class="choice" role="group" aria-label=${l10n.t('Which is better?')}>
    <strong>${l10n.t('Which is better?')}</strong>
    ${button({ label: `← ${label(left)}`, onClick: () => prefer(prompt, left, right) })}
    ${button({ label: `${label(right)} →`, onClick: () => prefer(prompt, right, left) })}
    ${button({
      label: l10n.t('Neither'),
      onClick: () => {
        selection = undefined;
        draw();
      },
    })}
  </div>`;
}

const pickModels = () => void peer.request('compare/pickModels', {});

function draw(): void {
  if (state) render(page(state), document.querySelector('main')!);
}

function say(text: string): void {
  const live = document.getElementById('live');
  if (live) live.textContent = text;
}

draw();
peer.request('compare/state', {}).then(take, () => {});
