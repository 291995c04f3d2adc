/** From a frame of the extension to the lines of the five charts. */
import type { LossLine, LossLineName, LossRun } from '@protocol/panels';
import * as l10n from '@vscode/l10n';
import type { Point } from './chartStyle';
import { formatBytes, formatNumber } from './format';
import type { LiveSeries } from './liveChart';
import { faint, type Palette, readColor } from './palette';

export const CHARTS = ['loss', 'learning_rate', 'grad_norm', 'tokens_per_second', 'memory'] as const;
export type ChartName = (typeof CHARTS)[number];

interface ChartTexts {
  title: string;
  format(value: number): string;
  fromZero: boolean;
}

export function chartTexts(name: ChartName): ChartTexts {
  switch (name) {
    case 'loss':
      return { title: l10n.t('Loss'), format: formatNumber, fromZero: false };
    case 'learning_rate':
      return { title: l10n.t('Learning rate'), format: formatNumber, fromZero: true };
    case 'grad_norm':
      return { title: l10n.t('Gradient norm'), format: formatNumber, fromZero: true };
    case 'tokens_per_second':
      return { title: l10n.t('Tokens per second'), format: formatNumber, fromZero: true };
    case 'memory':
      return { title: l10n.t('Memory and GPU'), format: formatBytes, fromZero: true };
  }
}

/** How the lines of one run are told from another's: no two share colour and dashes. */
export interface RunLook {
  color: string;
  dash: number[];
}

const RUN_COLORS = ['charts-blue', 'charts-orange', 'charts-green', 'charts-purple', 'charts-red', 'charts-yellow'];
const DASHES = [[], [8, 3], [2, 3], [8, 3, 2, 3]];

/** Of the run at this place in the list. */
export function runLook(place: number): RunLook {
  return {
    color: readColor(`vscode-${RUN_COLORS[place % RUN_COLORS.length]!}`),
    dash: DASHES[(place + Math.floor(place / RUN_COLORS.length)) % DASHES.length]!,
  };
}

export interface DrawnRun {
  run: LossRun;
  look: RunLook;
}

/** Earlier series are drawn on top. `alone`: there is one run, so that its series may each have a colour. */
export function seriesOf(name: ChartName, drawn: readonly DrawnRun[], alone: boolean, palette: Palette): LiveSeries[] {
  const of = ({ run }: DrawnRun, text: string) => (alone ? text : run.label);
  switch (name) {
    case 'loss':
      return [
        ...drawn.flatMap((one) => marksOf(one, palette)),
        ...drawn.map((one) => evalsOf(one, alone, palette)),
        ...drawn.map((one) => line(one, 'smooth', of(one, l10n.t('smoothed')), 2.5)),
        ...drawn.map((one) => ({
          ...line(one, 'loss', alone ? l10n.t('train') : l10n.t('{0}, as logged', one.run.label), 1),
          color: faint(one.look.color, drawn.length > 1 ? 0.35 : 0.5),
          dash: [],
        })),
      ].filter(({ points }) => points.length > 0);
    case 'memory':
      return drawn
        .flatMap((one) => [
          line(one, 'memory_bytes', of(one, l10n.t('memory of the process')), 1.5),
          {
            ...line(one, 'gpu_bytes', gpuLabel(one, alone, l10n.t('memory of the GPUs')), 1.5),
            ...(alone && { color: palette.eval }),
          },
          {
            ...line(one, 'gpu_utilization', gpuLabel(one, alone, l10n.t('GPU use')), 1),
            share: true,
            ...(alone && { color: palette.checkpoint }),
          },
        ])
        .filter(({ points }) => points.length > 0);
    default:
      return drawn
        .map((one) => line(one, name, of(one, chartTexts(name).title), 1.25))
        .filter(({ points }) => points.length > 0);
  }
}

const gpuLabel = ({ run }: DrawnRun, alone: boolean, text: string) => (alone ? text : `${run.label}, ${text}`);

function line({ run, look }: DrawnRun, name: LossLineName, label: string, width: number): LiveSeries {
  return { label, points: zip(run.lines[name]), color: look.color, dash: look.dash, width };
}

function evalsOf({ run, look }: DrawnRun, alone: boolean, palette: Palette): LiveSeries {
  return {
    label: alone ? l10n.t('evaluation') : l10n.t('{0}, evaluation', run.label),
    points: run.evals.map(({ x, y, best }) => ({
      x,
      y,
      ...(best && { note: l10n.t('Evaluation {0}, the best', formatNumber(y)) }),
    })),
    color: alone ? palette.eval : look.color,
    width: alone ? 1 : 0,
    dash: [4, 4],
    mark: 'circle',
  };
}

function marksOf({ run, look }: DrawnRun, palette: Palette): LiveSeries[] {
  const of = (kind: 'checkpoint' | 'warning'): Point[] =>
    run.marks.flatMap((mark) => (mark.kind === kind ? [{ x: mark.x, y: mark.y, note: mark.notes }] : []));
  const style = { width: 0, color: look.color };
  return [
    { label: l10n.t('warning'), points: of('warning'), ...style, color: palette.warning, mark: 'triangle' },
    { label: l10n.t('checkpoint'), points: of('checkpoint'), ...style, color: palette.checkpoint, mark: 'rectRot' },
  ];
}

const zip = (line: LossLine | undefined): Point[] => line?.x.map((x, i) => ({ x, y: line.y[i]! })) ?? [];
