/** How charts look, wherever they are drawn. */
import type { ChartDataset, ScaleOptions, TooltipOptions } from 'chart.js';
import type { Palette } from './palette';

export interface Point {
  x: number;
  y: number | null;
  /** What the hover says in place of the number. */
  note?: string | string[];
}

export interface LineStyle {
  color: string;
  /** Width of the line; 0: marks only. */
  width: number;
  mark?: 'circle' | 'rectRot' | 'triangle';
  dash?: number[];
}

export function xScale(palette: Palette, format: (x: number) => string): ScaleOptions<'linear'> {
  return {
    type: 'linear',
    // All have the height of two.
    ticks: { ...ticks(palette), sampleSize: 2, callback: (value) => format(Number(value)) },
    grid: { display: false },
    border: { color: palette.grid },
  } as ScaleOptions<'linear'>;
}

export function yScale(palette: Palette, format: (y: number) => string, maxTicksLimit = 6): ScaleOptions<'linear'> {
  return {
    grace: '5%',
    ticks: { ...ticks(palette), maxTicksLimit, callback: (value) => format(Number(value)) },
    grid: { color: palette.grid },
    border: { display: false },
  } as ScaleOptions<'linear'>;
}

const ticks = (palette: Palette) => ({ color: palette.dim, maxTicksLimit: 6, maxRotation: 0 });

export function tooltipStyle(palette: Palette): Partial<TooltipOptions<'line'>> {
  return {
    backgroundColor: palette.surface,
    borderColor: palette.grid,
    borderWidth: 1,
    titleColor: palette.text,
    bodyColor: palette.text,
    usePointStyle: true,
  };
}

export function lineDataset(points: Point[], style: LineStyle, palette: Palette): ChartDataset<'line', Point[]> {
  const { color, width, mark, dash } = style;
  return {
    data: points,
    borderColor: color,
    backgroundColor: color,
    borderWidth: width,
    borderDash: dash ?? [],
    showLine: width > 0,
    spanGaps: false,
    // A lone point has no line to show it.
    pointRadius: mark ? 4 : points.length === 1 ? 3 : 0,
    pointStyle: mark ?? 'line',
    pointBorderColor: mark ? palette.surface : color,
    pointBorderWidth: mark ? 1 : width,
    pointHoverRadius: 5,
    tension: 0,
    // A mark at the end of the axis is drawn whole.
    clip: mark ? 8 : 0,
  };
}
