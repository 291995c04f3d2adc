/** The loss panel: the curves of runs while they are trained. What it draws is worked out in the extension. */
import type {
  LossAxis,
  LossFrame,
  LossHostContract,
  LossPageContract,
  LossRun,
  LossState,
  LossView,
  PanelAction,
} from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import { html, nothing, render, type TemplateResult } from 'lit';
import { button, checkbox, dropdown, slider } from '../components/controls';
import { formatNumber, formatSeconds } from '../components/format';
import { LiveChart } from '../components/liveChart';
import {
  CHARTS,
  type ChartName,
  chartTexts,
  type DrawnRun,
  type RunLook,
  runLook,
  seriesOf,
} from '../components/lossSeries';
import { type Palette, readPanelPalette } from '../components/palette';
import { pngOfCharts } from '../components/pngOfCharts';
import { actionLabel, emptyText, runRow, spoken } from '../components/runRow';
import { connect } from '../rpc';

const { peer, state: kept, keep } = connect<LossPageContract, LossHostContract, LossState>();

let state: LossState = { runs: [], x: 'step', logarithmic: false, hidden: [], ...kept };
let frame: LossFrame | undefined;
let palette: Palette = readPanelPalette();
let looks: RunLook[] = [];
let charts: Record<ChartName, LiveChart> | undefined;
/** Where the keyboard reads values. */
let reading: number | undefined;

// Asking for frames: one request at a time, the newest wish next.

let viewId = 0;
let asking = false;
let askAgain = false;

async function ask(): Promise<void> {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  do {
    askAgain = false;
    try {
      show(await peer.request('loss/view', view()));
    } catch {
      // The page is on its way out, or the extension has said what went wrong.
    }
  } while (askAgain);
  asking = false;
}

function view(): LossView {
  const width = (name: ChartName) => Math.max(50, Math.round(charts?.[name].canvas.clientWidth ?? 600));
  return {
    id: ++viewId,
    x: state.x,
    ...(state.smoothing !== undefined && { smoothing: state.smoothing }),
    ...(state.from !== undefined && state.to !== undefined && { from: state.from, to: state.to }),
    width: width('loss'),
    smallWidth: width('learning_rate'),
  };
}

peer.on('loss/frame', (drawn) => {
  if (drawn.view === viewId) show(drawn, nextCharts());
});

function show(drawn: LossFrame, names?: readonly ChartName[]): void {
  const start = performance.now();
  frame = drawn;
  // Of the frame, so that a page that is restored shows the same ones.
  change({ runs: drawn.runs.map(({ host, run }) => ({ host, run })) });
  draw(names);
  announce();
  // For the profiler, and `npm run bench -- chart`.
  performance.measure('tuneyard.update', { start });
}

/** Keeps the person's choices; the same ones again cost nothing. */
function change(part: Partial<LossState>): void {
  state = { ...state, ...part };
  const text = JSON.stringify(state);
  if (text === keptText) return;
  keptText = text;
  keep(state);
}
let keptText = '';

function choose(part: Partial<LossState>): void {
  change(part);
  draw();
  void ask();
}

// Drawing

const AXES: Record<LossAxis, { title: () => string; format(x: number): string }> = {
  step: { title: () => l10n.t('step'), format: formatNumber },
  time: { title: () => l10n.t('time'), format: formatSeconds },
  tokens: { title: () => l10n.t('tokens'), format: formatNumber },
};

const keyOf = ({ host, run }: { host: string; run: string }) => `${host}/${run}`;
const isDrawn = (run: LossRun) => (frame?.runs.length ?? 0) < 2 || !state.hidden.includes(keyOf(run));

function drawnRuns(): DrawnRun[] {
  return (frame?.runs ?? []).flatMap((run, place) => (isDrawn(run) ? [{ run, look: lookOf(place) }] : []));
}

const lookOf = (place: number): RunLook => (looks[place] ??= runLook(place));

function extent(drawn: readonly DrawnRun[]): [number, number] {
  const ends = drawn.flatMap(({ run }) => [...(run.extent ?? []), ...run.evals.map(({ x }) => x)]);
  if (ends.length === 0) return [0, 1];
  const [low, high] = [Math.min(0, ...ends), Math.max(...ends)];
  return high > low ? [low, high] : [low, low + 1];
}

function range(all: [number, number]): [number, number] {
  return state.from !== undefined && state.to !== undefined ? [state.from, state.to] : all;
}

/** Draws the page, and these of its charts. */
function draw(names: readonly ChartName[] = CHARTS): void {
  render(page(), document.querySelector('main')!);
  charts ??= makeCharts();
  drawCharts(names);
}

function drawCharts(names: readonly ChartName[]): void {
  const drawn = drawnRuns();
  const alone = (frame?.runs.length ?? 0) < 2;
  const all = extent(drawn);
  const { title, format } = AXES[state.x];
  for (const name of names) {
    charts?.[name].draw({
      series: seriesOf(name, drawn, alone, palette),
      range: range(all),
      extent: all,
      logarithmic: state.logarithmic && name === 'loss',
      xTitle: title(),
      formatX: format,
    });
  }
}

/** While frames come, the large chart is drawn with each of them and the small ones by turns; all when it is quiet. */
const QUIET_MS = 600;
let turn = 0;
let quiet: ReturnType<typeof setTimeout> | undefined;

function nextCharts(): ChartName[] {
  const small = CHARTS.slice(1);
  clearTimeout(quiet);
  quiet = setTimeout(() => drawCharts(small), QUIET_MS);
  turn = (turn + 1) % small.length;
  return ['loss', small[turn]!];
}

function makeCharts(): Record<ChartName, LiveChart> {
  const made = CHARTS.map((name) => {
    const { format, fromZero } = chartTexts(name);
    const canvas = document.querySelector<HTMLCanvasElement>(`canvas[data-chart="${name}"]`)!;
    const chart = new LiveChart(
      {
        canvas,
        formatY: format,
        fromZero,
        large: name === 'loss',
        onPoint: (x) => pointAt(x, name),
        onRange: (chosen) => zoom(chosen),
      },
      palette,
    );
    canvas.addEventListener('keydown', (event) => onKey(event, name));
    return [name, chart];
  });
  return Object.fromEntries(made) as Record<ChartName, LiveChart>;
}

function pointAt(x: number | undefined, from: ChartName): void {
  for (const name of CHARTS) charts?.[name].pointAt(name === from && reading === undefined ? undefined : x);
}

function zoom(chosen: [number, number] | undefined): void {
  const [low, high] = extent(drawnRuns());
  const [from, to] = chosen ? [Math.max(low, chosen[0]), Math.min(high, chosen[1])] : [low, high];
  if (from <= low && to >= high) choose({ from: undefined, to: undefined });
  else if (to > from) choose({ from, to });
}

function onKey(event: KeyboardEvent, name: ChartName): void {
  const all = extent(drawnRuns());
  const [from, to] = range(all);
  const span = to - from;
  const pan = (by: number) => {
    const shift = Math.max(all[0] - from, Math.min(all[1] - to, by));
    zoom([from + shift, to + shift]);
  };
  const scale = (by: number) => zoom([from + (span * (1 - by)) / 2, to - (span * (1 - by)) / 2]);
  const read = (by: number) => {
    reading = Math.min(to, Math.max(from, (reading ?? from) + by));
    say(charts![name].read(reading));
    pointAt(reading, name);
  };
  const keys: Record<string, () => void> = {
    ArrowLeft: () => (event.shiftKey ? read(-span / 100) : pan(-span / 10)),
    ArrowRight: () => (event.shiftKey ? read(span / 100) : pan(span / 10)),
    ArrowUp: () => scale(0.8),
    ArrowDown: () => scale(1.25),
    '+': () => scale(0.8),
    '-': () => scale(1.25),
    Home: () => zoom(undefined),
    '0': () => zoom(undefined),
    Escape: () => {
      reading = undefined;
      pointAt(undefined, name);
    },
  };
  const done = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
  if (!done) return;
  event.preventDefault();
  done();
}

// The page around the charts

function page(): TemplateResult {
  const runs = frame?.runs ?? [];
  return html`
    <div class="toolbar" role="toolbar" aria-label=${l10n.t('What the charts show')}>
      ${button({ label: l10n.t('Runs…'), title: l10n.t('Choose the runs to show'), onClick: () => void peer.request('loss/pickRuns', {}) })}
      ${dropdown(l10n.t('Over'), state.x, axisOptions(), (x) => choose({ x, from: undefined, to: undefined }))}
      ${smoothSlider()}
      ${checkbox(l10n.t({ message: 'Log', comment: ['logarithmic axis'] }), state.logarithmic, (logarithmic) => choose({ logarithmic }), l10n.t('Logarithmic loss axis'))}
      ${button({
        label: l10n.t('Reset zoom'),
        disabled: state.from === undefined,
        onClick: () => zoom(undefined),
      })}
      <span class="gap"></span>
      <span class="group">
        ${button({ label: 'PNG', title: l10n.t('Save the charts as a picture'), disabled: !hasValues(), onClick: savePng })}
        ${button({
          label: 'CSV',
          title: l10n.t('Save all values as a table'),
          disabled: !hasValues(),
          onClick: () => void peer.request('loss/saveCsv', {}),
        })}
      </span>
    </div>
    <div class="charts ${hasValues() ? '' : 'none'}">
      ${CHARTS.map((name) => figure(name, runs))}
      ${frame && !hasValues() ? empty(runs) : nothing}
    </div>
    <ul class="runs" aria-label=${l10n.t('Runs')}>
      ${runs.map((run, place) =>
        runRow({
          run,
          look: lookOf(place),
          ...(runs.length > 1 && { drawn: isDrawn(run) }),
          onToggle: () => toggle(run),
          onRemove: () => void peer.request('loss/removeRun', { host: run.host, run: run.run }),
          onAct: (action) => act(action, run),
        }),
      )}
    </ul>
    <p id="keys" class="hidden">${l10n.t('Arrow keys move and zoom, Shift with left and right reads values, Home shows everything.')}</p>
    <p id="live" class="hidden" role="status" aria-live="polite"></p>
  `;
}

function figure(name: ChartName, runs: readonly LossRun[]): TemplateResult {
  const { title } = chartTexts(name);
  const about = runs.map((run) => `${run.label}: ${l10n.t('{0} values', run.rows)}`).join('; ');
  return html`<figure class=${name === 'loss' ? 'big' : 'small'}>
    <figcaption>${title}${name === 'loss' ? legend(runs) : name === 'memory' ? memoryLegend(runs) : nothing}</figcaption>
    <div class="canvas">
      <canvas data-chart=${name} role="img" tabindex="0" aria-describedby="keys" aria-label=${`${title}. ${about}`}></canvas>
    </div>
  </figure>`;
}

/** What the shapes mean; which run a colour belongs to stands at its row. */
function legend(runs: readonly LossRun[]): TemplateResult {
  const item = (kind: string, mark: string, text: string) =>
    html`<span class="key"><span class=${kind} aria-hidden="true">${mark}</span>${text}</span>`;
  const alone = runs.length < 2 ? 'alone' : '';
  return html`<span class="legend ${alone}">
    ${item('raw', '', l10n.t('train'))}
    ${item('smooth', '', l10n.t('smoothed'))}
    ${runs.some((run) => run.evals.length > 0) ? item('eval', '●', l10n.t('evaluation')) : nothing}
    ${runs.some((run) => run.marks.some(({ kind }) => kind === 'checkpoint')) ? item('checkpoint', '◆', l10n.t('checkpoint')) : nothing}
    ${runs.some((run) => run.marks.some(({ kind }) => kind === 'warning')) ? item('warning', '▲', l10n.t('warning')) : nothing}
  </span>`;
}

function memoryLegend(runs: readonly LossRun[]): TemplateResult | typeof nothing {
  if (runs.length !== 1 || !runs[0]!.lines.gpu_bytes) return nothing;
  const item = (kind: string, text: string) =>
    html`<span class="key"><span class=${`smooth ${kind}`} aria-hidden="true"></span>${text}</span>`;
  return html`<span class="legend alone">
    ${item('process', l10n.t('process'))} ${item('gpus', l10n.t('GPUs'))} ${item('use', l10n.t('GPU use'))}
  </span>`;
}

function empty(runs: readonly LossRun[]): TemplateResult {
  const [run] = runs;
  if (!run) {
    return html`<div class="empty">
      <p>${l10n.t('No run is shown. Choose one, or start a fine-tune: its loss appears here while it is trained.')}</p>
      <span class="group">${button({ label: actionLabel('start'), kind: 'primary', onClick: () => act('start') })}</span>
    </div>`;
  }
  return html`<div class="empty"><p>${emptyText(run)}</p></div>`;
}

const axisOptions = () => (Object.keys(AXES) as LossAxis[]).map((value) => ({ value, label: AXES[value].title() }));

/** Its places are powers: the first tell short runs' spans apart, the last reach over a quarter of a long one. */
function smoothSlider(): TemplateResult {
  const span = state.smoothing ?? frame?.smoothing ?? 1;
  const most = Math.max(100, ...(frame?.runs ?? []).map(({ rows }) => rows / 4));
  return slider({
    label: l10n.t('Smooth'),
    value: Math.round((100 * Math.log(span)) / Math.log(most)),
    min: 0,
    max: 100,
    step: 1,
    shown: span < 1.5 ? l10n.t('not smoothed') : l10n.t('over {0} values', formatNumber(span)),
    onInput: (place) => choose({ smoothing: Math.max(1, Number((most ** (place / 100)).toPrecision(2))) }),
  });
}

const hasValues = () => (frame?.runs ?? []).some((run) => run.rows > 0 || run.evals.length > 0);

function toggle(run: LossRun): void {
  const key = keyOf(run);
  const hidden = state.hidden.includes(key) ? state.hidden.filter((one) => one !== key) : [...state.hidden, key];
  change({ hidden });
  draw();
}

function act(action: PanelAction, run?: LossRun): void {
  void peer.request('loss/act', { action, ...(run && { run: { host: run.host, run: run.run } }) });
}

function savePng(): void {
  const figures = [...document.querySelectorAll('figure')];
  const title = (frame?.runs ?? [])
    .filter(isDrawn)
    .map(({ label }) => label)
    .join(', ');
  void peer.request('loss/savePng', { base64: pngOfCharts(figures, title, palette) });
}

// What is said aloud

/** New figures are told seldom enough to be listened to. */
const ANNOUNCE_MS = 20_000;
let announcedAt = 0;
let announced = '';

function announce(): void {
  const states = (frame?.runs ?? []).map(({ status }) => status.state).join();
  if (states === announced && performance.now() - announcedAt < ANNOUNCE_MS) return;
  announced = states;
  announcedAt = performance.now();
  say((frame?.runs ?? []).map(spoken).join('. '));
}

function say(text: string): void {
  const live = document.getElementById('live');
  if (live && live.textContent !== text) live.textContent = text;
}

// The theme, the size, and the start

new MutationObserver(() => {
  palette = readPanelPalette();
  looks = [];
  for (const name of CHARTS) charts?.[name].style(palette);
  draw();
}).observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-id'] });

let askedWidth = 0;
new ResizeObserver(() => {
  const width = charts?.loss.canvas.clientWidth ?? 0;
  if (Math.abs(width - askedWidth) < 24) return;
  askedWidth = width;
  void ask();
}).observe(document.querySelector('main')!);

draw();
void ask();
