/** One chart over the steps, the seconds or the tokens of a run, in the page's colours. */
import {
  Chart,
  Legend,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
  type TooltipItem,
} from 'chart.js';
import { lineDataset, type Point, tooltipStyle, xScale, yScale } from './chartStyle';
import { type Palette, readPalette } from './palette';

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale, Tooltip, Legend);

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
          ...xScale(palette, formatX),
          min: xs.length > 0 ? Math.min(0, ...ends(xs)) : 0,
          max: ends(xs)[1],
          title: { display: options.legend, text: options.xTitle, color: palette.dim },
        },
        y: {
          ...yScale(palette, formatY),
          type: options.logarithmic ? 'logarithmic' : 'linear',
          min: options.fromZero ? 0 : undefined,
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
          ...tooltipStyle(palette),
          callbacks: {
            title: ([item]) => (item ? `${options.xTitle} ${formatX(Number(item.parsed.x))}` : ''),
            label: (item) => label(item, formatY),
          },
        },
      },
    },
  });
}

function dataset(series: Series, palette: Palette) {
  const { label, points, color, width, mark, dashed } = series;
  return {
    label,
    ...lineDataset(points, { color: palette[color], width, mark, dash: dashed ? [4, 4] : [] }, palette),
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
