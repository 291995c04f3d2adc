/** A chart that is kept up to date in place, over a range of x that it shares with others. */
import {
  Chart,
  type ChartDataset,
  type ChartEvent,
  Interaction,
  type InteractionItem,
  type InteractionModeFunction,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
  type TooltipItem,
} from 'chart.js';
import zoomPlugin from 'chartjs-plugin-zoom';
import { type LineStyle, lineDataset, type Point, tooltipStyle, xScale, yScale } from './chartStyle';
import type { Palette } from './palette';

export interface LiveSeries extends LineStyle {
  label: string;
  points: Point[];
  /** Over the axis at the right, from 0 to 1. */
  share?: boolean;
}

export interface LiveChartOptions {
  canvas: HTMLCanvasElement;
  formatY(y: number): string;
  fromZero: boolean;
  /** There is room for more numbers at the axis. */
  large: boolean;
  /** The pointer, or the keyboard, is at this x; undefined: it left. */
  onPoint(x: number | undefined): void;
  /** The person chose another range; undefined: all of it. */
  onRange(range: [number, number] | undefined): void;
}

export interface LiveDrawing {
  series: LiveSeries[];
  /** What is shown of x, and what there is of it. */
  range: [number, number];
  extent: [number, number];
  logarithmic: boolean;
  xTitle: string;
  formatX(x: number): string;
}

declare module 'chart.js' {
  interface InteractionModeMap {
    everySeries: InteractionModeFunction;
  }
}

type Dataset = ChartDataset<'line', Point[]>;

/** Marks are hovered when the pointer is so near, in pixels. */
const NEAR = 8;

/** Of each series the point nearest in x: lines have their points at different places. */
Interaction.modes.everySeries = (chart, event) =>
  // Of the cursor, canvas relative.
  event.x === null ? [] : pointsAt(chart, event.x);

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale, Tooltip, zoomPlugin);

export class LiveChart {
  private readonly chart: Chart<'line', Point[]>;
  private formatX: (x: number) => string = String;
  private xTitle = '';
  private crosshair: number | undefined;
  private palette!: Palette;
  private known = new Map<string, Dataset>();

  constructor(
    private readonly options: LiveChartOptions,
    palette: Palette,
  ) {
    const { canvas } = options;
    this.chart = new Chart<'line', Point[]>(canvas, {
      type: 'line',
      data: { datasets: [] },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        normalized: true,
        parsing: false,
        events: ['mousemove', 'mouseout', 'click', 'touchstart', 'touchmove'],
        interaction: { mode: 'everySeries', intersect: false },
        onHover: (event) => this.hovered(event),
        plugins: {
          legend: { display: false },
          tooltip: { callbacks: { title: (items) => this.title(items), label: (item) => this.label(item) } },
          zoom: {
            limits: { x: { minRange: 1e-6 } },
            pan: { enabled: true, mode: 'x', modifierKey: 'shift', onPanComplete: () => this.chose() },
            zoom: {
              mode: 'x',
              // Without the key the page scrolls; a pinch on a touchpad arrives with it.
              wheel: { enabled: true, modifierKey: 'ctrl' },
              drag: { enabled: true, threshold: 6 },
              onZoomComplete: () => this.chose(),
            },
          },
        },
      },
      plugins: [{ id: 'crosshair', afterDatasetsDraw: (chart) => this.drawCrosshair(chart as Chart) }],
    });
    canvas.addEventListener('dblclick', () => options.onRange(undefined));
    canvas.addEventListener('mouseleave', () => options.onPoint(undefined));
    this.style(palette);
  }

  /** Takes the theme's colours and letters over; drawn with the next {@link draw}. */
  style(palette: Palette): void {
    this.palette = palette;
    this.known.clear();
    const { options } = this.chart;
    options.font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
    options.plugins!.tooltip = { ...options.plugins!.tooltip, ...tooltipStyle(palette) };
    const drag = options.plugins!.zoom!.zoom!.drag!;
    drag.backgroundColor = palette.grid;
    drag.borderColor = palette.dim;
  }

  draw({ series, range, extent, logarithmic, xTitle, formatX }: LiveDrawing): void {
    const { chart, palette, options } = this;
    this.formatX = formatX;
    this.xTitle = xTitle;
    chart.data.datasets = this.datasetsOf(series);
    const shares = series.some(({ share }) => share);
    const values = series.some(({ share, points }) => !share && points.length > 0);
    chart.options.scales = {
      x: { ...xScale(palette, formatX), min: range[0], max: range[1] },
      y: {
        ...yScale(palette, (y) => (y === 0 ? '0' : options.formatY(y)), options.large ? 11 : 6),
        grace: 0,
        type: logarithmic ? 'logarithmic' : 'linear',
        display: values || !shares,
        ...(options.fromZero && { min: 0 }),
      },
      ...(shares && {
        share: {
          ...yScale(palette, (share) => `${Math.round(100 * share)} %`),
          position: values ? 'right' : 'left',
          min: 0,
          max: 1,
          grid: { display: !values, color: palette.grid },
        },
      }),
    };
    chart.options.plugins!.zoom!.limits = {
      x: { min: extent[0], max: extent[1], minRange: Math.max(1e-6, (extent[1] - extent[0]) * 1e-6) },
    };
    chart.update('none');
  }

  /** Shows where another chart is pointed at. */
  pointAt(x: number | undefined): void {
    if (x === this.crosshair) return;
    this.crosshair = x;
    this.chart.draw();
  }

  /** Shows the values at x as if pointed at there; the text of what is shown. */
  read(x: number): string {
    const { chart } = this;
    this.crosshair = x;
    const pixel = chart.scales.x!.getPixelForValue(x);
    const items = pointsAt(chart as Chart, pixel).map(({ datasetIndex, index }) => ({ datasetIndex, index }));
    chart.setActiveElements(items);
    chart.tooltip?.setActiveElements(items, { x: pixel, y: chart.chartArea.top });
    chart.update('none');
    const { title, body } = chart.tooltip ?? { title: [], body: [] };
    return [...title, ...body.flatMap(({ lines }) => lines)].map((line) => line.trim()).join(', ');
  }

  /** The picture as it stands. */
  get canvas(): HTMLCanvasElement {
    return this.options.canvas;
  }

  dispose(): void {
    this.chart.destroy();
  }

  /** Datasets stay the same objects, or chart.js makes all anew; but one that looks otherwise must be another. */
  private datasetsOf(series: readonly LiveSeries[]): Dataset[] {
    const used = new Map<string, Dataset>();
    for (const { label, points, share, ...style } of series) {
      const key = JSON.stringify([label, share, style, points.length === 1, used.size]);
      const dataset = this.known.get(key) ?? {
        ...lineDataset(points, style, this.palette),
        label,
        yAxisID: share ? 'share' : 'y',
      };
      dataset.data = points;
      used.set(key, dataset);
    }
    this.known = used;
    return [...used.values()];
  }

  private chose(): void {
    const { min, max } = this.chart.scales.x!;
    this.options.onRange([min, max]);
  }

  private hovered({ x }: ChartEvent): void {
    const { scales, chartArea } = this.chart;
    const inside = x !== null && x >= chartArea.left && x <= chartArea.right;
    this.options.onPoint(inside ? scales.x!.getValueForPixel(x) : undefined);
  }

  private drawCrosshair({ ctx, chartArea, scales }: Chart): void {
    if (this.crosshair === undefined) return;
    const x = scales.x!.getPixelForValue(this.crosshair);
    if (x < chartArea.left || x > chartArea.right) return;
    ctx.save();
    ctx.strokeStyle = this.palette.dim;
    ctx.lineWidth = 1;
    ctx.setLineDash([2, 2]);
    ctx.beginPath();
    ctx.moveTo(x, chartArea.top);
    ctx.lineTo(x, chartArea.bottom);
    ctx.stroke();
    ctx.restore();
  }

  private title(items: TooltipItem<'line'>[]): string {
    const x = items[0]?.parsed.x;
    return x === undefined || x === null ? '' : `${this.xTitle} ${this.formatX(x)}`;
  }

  private label(item: TooltipItem<'line'>): string | string[] {
    const { note } = item.raw as Point;
    const share = item.dataset.yAxisID === 'share';
    const value = Number(item.parsed.y);
    if (note !== undefined) return (Array.isArray(note) ? note : [note]).flatMap(wrapped);
    return ` ${item.dataset.label}: ${share ? `${Math.round(100 * value)} %` : this.options.formatY(value)}`;
  }
}

/** The canvas does not break lines. */
function wrapped(text: string): string[] {
  return text.match(/\S.{0,46}(?=\s|$)|\S{47}/g) ?? [];
}

function pointsAt(chart: Chart, pixel: number): InteractionItem[] {
  const x = chart.scales.x!.getValueForPixel(pixel)!;
  return chart.getSortedVisibleDatasetMetas().flatMap((meta): InteractionItem[] => {
    const points = chart.data.datasets[meta.index]!.data as unknown as Point[];
    const index = nearest(points, x);
    const element = meta.data[index];
    if (!element || points[index]!.y === null) return [];
    const mark = !(chart.data.datasets[meta.index] as { showLine?: boolean }).showLine;
    // A line tells its nearest value however far apart its points stand, a mark only where it is pointed at.
    const [first, last] = mark ? [element, element] : [meta.data[0]!, meta.data.at(-1)!];
    return pixel < first.x - NEAR || pixel > last.x + NEAR ? [] : [{ element, datasetIndex: meta.index, index }];
  });
}

function nearest(points: readonly Point[], x: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (points[middle]!.x < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && (low === points.length || x - points[low - 1]!.x < points[low]!.x - x) ? low - 1 : low;
}
