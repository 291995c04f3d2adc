/** The dataset panel: rows on the left, the row as the model sees it on the right, the whole set behind a tab. */
import type { DatasetSample, Finding, FindingKind, RowHead } from '@protocol/dataset';
import type { DatasetFormat } from '@protocol/datasetFormats';
import type {
  DatasetHostContract,
  DatasetPageContract,
  DatasetPanelState,
  DatasetSettings,
} from '@protocol/datasetPanel';
import * as l10n from '@vscode/l10n';
import { html, nothing, render, type TemplateResult } from 'lit';
import { button, checkbox, dropdown, numberField, textArea } from '../components/controls';
import { FIRST_TOKENS, tokenBlocks } from '../components/tokenChips';
import { pageOf, spacer, topFor, viewOf } from '../components/virtualList';
import { wholeSet } from '../components/wholeSet';
import { connect } from '../rpc';

interface Kept {
  path?: string;
  host?: string;
  row: number;
  tab: 'samples' | 'whole';
}

const {
  peer,
  state: kept,
  keep,
} = connect<DatasetPageContract, DatasetHostContract, Kept & Partial<DatasetPanelState>>();

const PAGE = 200;

let state: DatasetPanelState | undefined;
let selected = kept?.row ?? 0;
/** Where the rows begin that are selected together; the row itself where it is the only one. */
let anchor = selected;
let tab: Kept['tab'] = kept?.tab ?? 'samples';
let sample: DatasetSample | null | undefined;
let most = FIRST_TOKENS;
let version = -1;
const heads = new Map<number, RowHead>();
const asked = new Set<number>();

peer.on('dataset/changed', take);
peer.on('dataset/show', ({ row }) => select(row, { reveal: false }));

function take(changed: DatasetPanelState): void {
  state = changed;
  remember();
  if (changed.version !== version) {
    version = changed.version;
    heads.clear();
    asked.clear();
    if (changed.rows > 0) selected = Math.min(selected, changed.rows - 1);
    anchor = selected;
    void loadSample();
  }
  draw();
}

const remember = () => keep({ ...(state && { path: state.path, host: state.host }), row: selected, tab });

/** @param extend to this row from where the selection began */
function select(row: number, { reveal = true, extend = false } = {}): void {
  if (!state || row < 0) return;
  selected = state.rows > 0 ? Math.min(row, state.rows - 1) : row;
  if (!extend) anchor = selected;
  most = FIRST_TOKENS;
  tab = 'samples';
  remember();
  draw();
  scrollTo(selected);
  void loadSample(reveal);
}

async function loadSample(reveal = false): Promise<void> {
  const [row, at] = [selected, version];
  const found = await peer.request('dataset/sample', { row }).catch(() => null);
  if (row !== selected || at !== version) return;
  sample = found;
  draw();
  if (reveal && found) void peer.request('dataset/reveal', { source: found.source, line: found.line });
}

async function loadRows(first: number, count: number): Promise<void> {
  const at = version;
  for (let page = Math.floor(first / PAGE); page * PAGE < first + count; page++) {
    if (asked.has(page)) continue;
    asked.add(page);
    const rows = await peer.request('dataset/rows', { from: page * PAGE, count: PAGE }).catch(() => []);
    if (at !== version) return;
    for (const head of rows) heads.set(head.row, head);
    // What is not indexed yet, or was not counted, is asked for again when it is looked at again.
    if (rows.length < PAGE || rows.some(({ length, problem }) => length === undefined && problem === undefined))
      asked.delete(page);
    if (rows.length > 0) draw();
  }
}

const set = (part: Partial<DatasetSettings>) => void peer.request('dataset/set', part);

// The page

function page(now: DatasetPanelState): TemplateResult {
  return html`
    <div class="bars-top">${controls(now)}</div>
    ${now.problem === undefined ? nothing : html`<p class="problem" role="alert">${now.problem}</p>`}
    ${(now.opened?.warnings ?? []).map((text) => html`<p class="warning">${text}</p>`)}
    <div class="tabs" role="tablist">
      ${tabButton('samples', l10n.t('Samples'))}${tabButton('whole', l10n.t('Whole set'))}
      <span class="gap"></span>
      <span class="busy" role="status">${busyText(now)}</span>
    </div>
    ${
      tab === 'whole'
        ? wholeSet(now, {
            show: (row) => select(row),
            report: () => void peer.request('dataset/report', {}),
            cancel: () => void peer.request('dataset/cancelReport', {}),
            drop: (finding) => drop(finding),
            deduplicate: (near) => void peer.request('dataset/fix', { fix: { kind: 'deduplicate', near } }),
            split: () => void peer.request('dataset/split', {}),
            convert: () => void peer.request('dataset/convert', {}),
          })
        : html`<div class="split">${list(now)}${sampleView(now)}</div>`
    }
    ${facts(now)}
  `;
}

const drop = ({ rows }: Finding) =>
  void peer.request('dataset/fix', { fix: { kind: 'drop', rows: rows.map(({ row }) => row) } });

function tabButton(name: Kept['tab'], label: string): TemplateResult {
  return html`<button
    role="tab"
    aria-selected=${tab === name}
    @click=${() => {
      tab = name;
      remember();
      draw();
    }}
  >
    ${label}
  </button>`;
}

function busyText({ opening, indexed, unsaved }: DatasetPanelState): string {
  if (opening) return l10n.t('Opening …');
  if (indexed < 1) return l10n.t('{0}% read', Math.floor(100 * indexed));
  return unsaved ? l10n.t('with unsaved edits') : '';
}

function controls({ settings, opened, hub, changed, recipe }: DatasetPanelState): TemplateResult {
  const { model, max_length, train_on_prompt } = settings;
  const name = model?.split('/').filter(Boolean).at(-1);
  const isTemplate = opened && ['template', 'text', 'text-target'].includes(opened.format);
  return html`<div class="toolbar" role="toolbar" aria-label=${l10n.t('How it is read')}>
      ${button({
        label: name === undefined ? l10n.t('Choose a model…') : l10n.t('Tokens of {0}', name),
        title: model ?? l10n.t('Without a model, words are counted'),
        onClick: () => void peer.request('dataset/pickModel', {}),
      })}
      ${
        opened
          ? dropdown<DatasetFormat>(
              l10n.t('Format'),
              opened.format,
              [...new Set([opened.format, ...opened.possible])].map((value) => ({ value, label: formatName(value) })),
              (format) => set({ format }),
            )
          : nothing
      }
      ${choice(l10n.t('Configuration'), hub?.configs, hub?.config, (config) => set({ config }))}
      ${choice(l10n.t('Split'), hub?.splits, hub?.split, (split) => set({ split }))}
      ${numberField({
        label: l10n.t('Longest'),
        title: l10n.t('max_length: what is behind it is cut off'),
        value: max_length,
        min: 1,
        whole: true,
        onChange: (value) => set({ max_length: value }),
      })}
      ${checkbox(l10n.t('Learn the prompt too'), train_on_prompt, (value) => set({ train_on_prompt: value }))}
      <span class="gap"></span>
      ${
        recipe !== undefined && changed
          ? button({
              label: l10n.t('Write into the recipe'),
              title: recipe,
              kind: 'primary',
              onClick: () => void peer.request('dataset/keep', {}),
            })
          : recipe === undefined
            ? button({
                label: l10n.t('Write a recipe…'),
                title: l10n.t('Choose a model, and get a recipe that trains on this data'),
                onClick: () => void peer.request('dataset/newRecipe', {}),
              })
            : nothing
      }
    </div>
    ${
      isTemplate
        ? html`<div class="template">
            ${textArea({
              label: l10n.t('Template'),
              value: opened.template,
              rows: 1,
              onChange: (template) => set({ template }),
            })}
          </div>`
        : opened
          ? html`<p class="note">
              ${opened.chat_template === undefined ? opened.template : l10n.t('Chat template: {0}', opened.chat_template)}
            </p>`
          : nothing
    }`;
}

/** Nothing where there is nothing to choose. */
function choice(
  label: string,
  values: readonly string[] | undefined,
  value: string | undefined,
  onChange: (value: string) => void,
): TemplateResult | typeof nothing {
  if (!values || values.length + Number(value === undefined) < 2) return nothing;
  const none = value === undefined ? [{ value: '', label: l10n.t('Choose…') }] : [];
  const each = values.map((one) => ({ value: one, label: one }));
  return dropdown<string>(label, value ?? '', [...none, ...each], (chosen) => {
    if (chosen !== '') onChange(chosen);
  });
}

function formatName(format: DatasetFormat): string {
  switch (format) {
    case 'text':
      return l10n.t('Text');
    case 'text-target':
      return l10n.t('Text and target');
    case 'alpaca':
      return 'Alpaca';
    case 'messages':
      return l10n.t('Chat (messages)');
    case 'sharegpt':
      return l10n.t('Chat (ShareGPT)');
    case 'prompt-completion':
      return l10n.t('Prompt and completion');
    case 'preference':
      return l10n.t('Preference');
    case 'classification':
      return l10n.t('Text and label');
    case 'token-classification':
      return l10n.t('Words and tags');
    case 'template':
      return l10n.t('Template');
  }
}

// The list

let top = 0;
let height = 400;

function list(now: DatasetPanelState): TemplateResult {
  const view = viewOf(now.rows, top, height);
  void loadRows(view.first, view.count);
  const longest = Math.max(now.settings.max_length, 1);
  const rows = Array.from({ length: Math.max(0, view.count) }, (_, i) => rowLine(view.first + i, longest));
  return html`<div
    class="list"
    role="listbox"
    tabindex="0"
    aria-label=${l10n.t('Samples')}
    aria-multiselectable="true"
    aria-activedescendant="row-${selected}"
    @scroll=${(event: Event) => {
      top = (event.target as HTMLElement).scrollTop;
      draw();
    }}
    @keydown=${onKey}
  >
    ${now.rows === 0 ? html`<p class="empty">${now.opening ? '' : l10n.t('No rows.')}</p>` : spacer(now.rows, view, rows)}
  </div>`;
}

function rowLine(row: number, longest: number): TemplateResult {
  const head = heads.get(row);
  const share = head?.length === undefined ? 0 : Math.min(1, head.length / longest);
  const isOver = head?.length !== undefined && head.length > longest;
  return html`<div
    id="row-${row}"
    class="row ${isSelected(row) ? 'selected' : ''}"
    role="option"
    aria-selected=${isSelected(row)}
    title=${titleOf(head)}
    @click=${({ shiftKey }: MouseEvent) => select(row, { extend: shiftKey })}
  >
    <span class="line">${head?.line ?? ''}</span>
    <span class=${head?.problem === undefined ? 'mark' : 'mark odd'}
      >${head?.problem === undefined ? (head?.split === 'eval' ? 'E' : '') : '!'}</span
    >
    <span class="words" dir="auto">${head?.words ?? '…'}</span>
    <span class="length ${isOver ? 'over' : ''}"><span class="filled" .style=${`width:${100 * share}%`}></span></span>
  </div>`;
}

function titleOf(head: RowHead | undefined): string {
  if (!head) return '';
  const parts = [
    head.problem,
    head.length === undefined ? undefined : l10n.t('{0} long', head.length),
    head.split === 'eval' ? l10n.t('held out for evaluation') : undefined,
  ];
  return parts.filter((part) => part !== undefined).join(' · ');
}

const isSelected = (row: number) => row >= Math.min(anchor, selected) && row <= Math.max(anchor, selected);

function dropSelected(): void {
  const first = Math.min(anchor, selected);
  const rows = Array.from({ length: Math.abs(anchor - selected) + 1 }, (_, i) => first + i);
  void peer.request('dataset/fix', { fix: { kind: 'drop', rows } });
}

function onKey(event: KeyboardEvent): void {
  if (event.key === 'Delete' && !state?.opened?.packed) {
    event.preventDefault();
    dropSelected();
    return;
  }
  const step = pageOf(height);
  const moves: Record<string, number> = {
    ArrowDown: selected + 1,
    ArrowUp: selected - 1,
    PageDown: selected + step,
    PageUp: selected - step,
    Home: 0,
    End: (state?.rows ?? 1) - 1,
  };
  const to = moves[event.key];
  if (to === undefined) return;
  event.preventDefault();
  select(Math.max(0, to), { extend: event.shiftKey });
}

function scrollTo(row: number): void {
  const element = document.querySelector<HTMLElement>('.list');
  if (!element || !state) return;
  const wanted = topFor(state.rows, row, element.scrollTop, element.clientHeight);
  if (wanted !== undefined) element.scrollTop = wanted;
}

// The sample

function sampleView(now: DatasetPanelState): TemplateResult {
  if (!sample) return html`<div class="sample"></div>`;
  const { parts, tokens, rejected, label, tags, problem, line, end_line, padding } = sample;
  const words = [
    end_line > line ? l10n.t('Lines {0}–{1}', line, end_line) : l10n.t('Line {0}', line),
    now.opened?.tokenizer ? l10n.t('{0} tokens, {1} learned', sample.length, sample.supervised) : undefined,
    sample.truncated ? l10n.t('cut off at {0}', now.settings.max_length) : undefined,
    padding ? l10n.t('{0} of padding', padding) : undefined,
    label === undefined ? undefined : l10n.t('label {0}', label),
  ];
  return html`<div class="sample" tabindex="0" aria-label=${l10n.t('The sample as the model sees it')}>
    <p class="note line">
      <a
        href="#"
        @click=${(event: Event) => {
          event.preventDefault();
          if (sample) void peer.request('dataset/reveal', { source: sample.source, line: sample.line });
        }}
        >${words.filter((word) => word !== undefined).join(' · ')}</a
      >${
        now.opened?.packed
          ? nothing
          : html`<button class="fact" title=${l10n.t('Del; with Shift, several are selected')} @click=${dropSelected}>
              ${anchor === selected ? l10n.t('Drop this row…') : l10n.t('Drop {0} rows…', Math.abs(anchor - selected) + 1)}
            </button>`
      }
    </p>
    ${problem === undefined ? nothing : html`<p class="problem">${problem}</p>`}
    ${tokenBlocks(parts, tokens, most)}
    ${
      tokens.length > most
        ? button({
            label: l10n.t('Show all {0} tokens', tokens.length),
            onClick: () => {
              most = Number.POSITIVE_INFINITY;
              draw();
            },
          })
        : nothing
    }
    ${rejected ? html`<h2>${l10n.t('Found worse')}</h2>${tokenBlocks(rejected.parts, rejected.tokens, most)}` : nothing}
    ${
      tags
        ? html`<h2>${l10n.t('Tags')}</h2>
            <p class="tags">${tags.map(({ word, tag }) => html`<span class=${tag === 'O' || tag === '0' ? 'outside' : 'tagged'} title=${tag}>${word}<sub>${tag}</sub></span>`)}</p>`
        : nothing
    }
  </div>`;
}

// The strip

function facts(now: DatasetPanelState): TemplateResult {
  const { report } = now;
  const open = (kind?: FindingKind) => () => {
    tab = 'whole';
    remember();
    draw();
    const found = kind && document.querySelector<HTMLDetailsElement>(`details[data-kind=${kind}]`);
    if (found) {
      found.open = true;
      found.scrollIntoView({ block: 'start' });
    }
  };
  const countOf = (kind: FindingKind) => report?.findings.find((finding) => finding.kind === kind)?.count ?? 0;
  const fact = (label: string, kind?: FindingKind) => html`<button class="fact" @click=${open(kind)}>${label}</button>`;
  const kinds: [FindingKind, (count: number) => string][] = [
    ['truncated', (count) => l10n.t('{0} cut off', count)],
    ['duplicate', (count) => (count === 1 ? l10n.t('1 duplicate') : l10n.t('{0} duplicates', count))],
    ['unusable', (count) => l10n.t('{0} unusable', count)],
    ['secret', (count) => l10n.t('{0} with secrets', count)],
  ];
  return html`<footer class="facts">
    ${fact(now.rows === 1 ? l10n.t('1 row') : l10n.t('{0} rows', now.rows.toLocaleString()))}
    ${report ? fact(amountText(report.tokens, now)) : nothing}
    ${report ? kinds.map(([kind, text]) => (countOf(kind) > 0 ? fact(text(countOf(kind)), kind) : nothing)) : nothing}
    ${report || now.reporting ? nothing : button({ label: l10n.t('Look at the whole set'), onClick: () => void peer.request('dataset/report', {}) })}
  </footer>`;
}

const amountText = (count: number, { opened }: DatasetPanelState): string =>
  opened?.tokenizer ? l10n.t('{0} tokens', count.toLocaleString()) : l10n.t('{0} words', count.toLocaleString());

function draw(): void {
  if (!state) return;
  const main = document.querySelector('main')!;
  render(page(state), main);
  const element = document.querySelector<HTMLElement>('.list');
  if (element && element.clientHeight > 0 && element.clientHeight !== height) {
    height = element.clientHeight;
    render(page(state), main);
  }
}

window.addEventListener('resize', draw);
peer.request('dataset/state', {}).then(take, () => {});
