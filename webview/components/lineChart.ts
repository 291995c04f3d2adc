/** One chart over the steps, the seconds or the tokens of a run, in the page's colours. */
import {
  Chart,
  type ChartDataset,
  Legend,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
  type TooltipItem,
} from 'chart.js';
import { type Palette, readPalette } from './palette';

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale, Tooltip, Legend);

export interface Point {
  x: number;
  y: number | null;
  /** What the hover says in place of the number. */
  note?: string;
}

export interface Series {
  label: string;
  points: Point[];
  color: keyof Palette;
  /** Width of the line; 0: marks only. */
  width: number;
  mark?: 'circle' | 'rectRot' | 'triangle';
  dashed?: boolean;
}

export interface LineChartOptions {
  canvas: HTMLCanvasElement;
  series: Series[];
  xTitle: string;
  formatX: (x: number) => string;
  formatY: (y: number) => string;
  legend: boolean;
  logarithmic: boolean;
  /** Whether the axis begins at zero however high the values are. */
  fromZero: boolean;
}

export function lineChart(options: LineChartOptions): Chart<'line', Point[]> {
  const { formatX, formatY } = options;
  const palette = readPalette();
  const xs = options.series.flatMap((series) => series.points.map((point) => point.x));
  const ticks = { color: palette.dim, maxTicksLimit: 6, maxRotation: 0 };
  return new Chart<'line', Point[]>(options.canvas, {
    type: 'line',
    data: { datasets: options.series.map((series) => dataset(series, palette)) },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      normalized: true,
      font: { family: 'system-ui, sans-serif' },
      interaction: { mode: 'nearest', axis: 'x', intersect: false },
      scales: {
        x: {
          type: 'linear',
          min: xs.length > 0 ? Math.min(0, ...ends(xs)) : 0,
          max: ends(xs)[1],
          title: { display: options.legend, text: options.xTitle, color: palette.dim },
          ticks: { ...ticks, callback: (value) => formatX(Number(value)) },
          grid: { display: false },
          border: { color: palette.grid },
        },
        y: {
          type: options.logarithmic ? 'logarithmic' : 'linear',
          min: options.fromZero ? 0 : undefined,
          grace: '5%',
          ticks: { ...ticks, callback: (value) => formatY(Number(value)) },
          grid: { color: palette.grid },
          border: { display: false },
        },
      },
      plugins: {
        legend: {
          display: options.legend,
          align: 'start',
          // Drawn first to last, top to bottom; read the other way round.
          reverse: true,
          labels: { color: palette.text, usePointStyle: true, boxHeight: 7, padding: 16 },
        },
        tooltip: {
          backgroundColor: palette.surface,
          borderColor: palette.grid,
          borderWidth: 1,
          titleColor: palette.text,
          bodyColor: palette.text,
          usePointStyle: true,
          callbacks: {
            title: ([item]) => (item ? `${options.xTitle} ${formatX(Number(item.parsed.x))}` : ''),
            label: (item) => label(item, formatY),
          },
        },
      },
    },
  });
}

function dataset(series: Series, palette: Palette): ChartDataset<'line', Point[]> {
  const color = palette[series.color];
  return {
    label: series.label,
    data: series.points,
    borderColor: color,
    backgroundColor: color,
    borderWidth: series.width,
    borderDash: series.dashed ? [4, 4] : [],
    showLine: series.width > 0,
    spanGaps: false,
    // A lone point has no line to show it.
    pointRadius: series.mark ? 4 : series.points.length === 1 ? 3 : 0,
    pointStyle: series.mark ?? 'line',
    pointBorderColor: series.mark ? palette.surface : color,
    pointBorderWidth: series.mark ? 1 : series.width,
    pointHoverRadius: 5,
    tension: 0,
    // A mark at the end of the axis is drawn whole.
    clip: series.mark ? 8 : 0,
  };
}

function label(item: TooltipItem<'line'>, formatY: (y: number) => string): string {
  const { note } = item.raw as Point;
  return ` ${item.dataset.label}: ${note ?? formatY(Number(item.parsed.y))}`;
}

/** Lowest and highest; a spread into Math.min would overflow the stack on a long run. */
function ends(values: number[]): [number, number] | [] {
  return values.length === 0
    ? []
    : values.reduce<[number, number]>(
        ([low, high], x) => [Math.min(low, x), Math.max(high, x)],
        [values[0]!, values[0]!],
      );
}
