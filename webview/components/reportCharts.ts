/** The charts of a run: the loss large, what explains it small, all over the same axis. */
import type { ReportData } from '@protocol/report';
import type { Chart } from 'chart.js';
import type { Point } from './chartStyle';
import { element } from './element';
import { formatBytes, formatNumber, formatSeconds } from './format';
import { lineChart, type Series } from './lineChart';

type Axis = 'step' | 'time' | 'tokens';

const AXES: Record<Axis, { column: 'step' | 'seconds' | 'tokens_seen'; format: (x: number) => string }> = {
  step: { column: 'step', format: formatNumber },
  time: { column: 'seconds', format: formatSeconds },
  tokens: { column: 'tokens_seen', format: formatNumber },
};

const SMALL = [
  { title: 'Learning rate', column: 'learning_rate', format: formatNumber, fromZero: true },
  { title: 'Gradient norm', column: 'grad_norm', format: formatNumber, fromZero: true },
  { title: 'Tokens per second', column: 'tokens_per_second', format: formatNumber, fromZero: false },
  { title: 'Memory', column: 'memory_bytes', format: formatBytes, fromZero: false },
] as const;

export function reportCharts(data: ReportData): HTMLElement {
  const axis = element('select', {}, ...Object.keys(AXES).map((name) => element('option', { value: name }, name)));
  const logarithmic = element('input', { type: 'checkbox' });
  const bar = element(
    'div',
    { class: 'bar' },
    element('label', {}, 'Over ', axis),
    element('label', {}, logarithmic, ' logarithmic loss'),
    ...(data.log_events > data.log.step.length
      ? [
          element(
            'span',
            { class: 'note' },
            `${data.log.step.length} of ${data.log_events} log lines drawn, extremes kept`,
          ),
        ]
      : []),
  );
  const big = figure(
    'Loss',
    'big',
    `Training loss over ${data.log.step.length} log lines, ${data.evals.length} evaluations.`,
  );
  const small = SMALL.map(({ title }) => figure(title, 'small', `${title} over the run.`));

  let drawn: Chart<'line', Point[]>[] = [];
  const draw = () => {
    for (const chart of drawn) chart.destroy();
    const name = axis.value as Axis;
    const { format } = AXES[name];
    const xs = data.log[AXES[name].column];
    const shared = { xTitle: name, formatX: format };
    drawn = [
      lineChart({
        ...shared,
        canvas: canvasOf(big),
        series: lossSeries(data, xs),
        formatY: formatNumber,
        legend: true,
        fromZero: false,
        logarithmic: logarithmic.checked,
      }),
      ...SMALL.map(({ title, column, format: formatY, fromZero }, i) =>
        lineChart({
          ...shared,
          canvas: canvasOf(small[i]!),
          series: [{ label: title, points: zip(xs, data.log[column]), color: 'train', width: 1.5 }],
          formatY,
          legend: false,
          fromZero,
          logarithmic: false,
        }),
      ),
    ];
  };
  axis.addEventListener('change', draw);
  logarithmic.addEventListener('change', draw);
  // Chart.js draws in pixels: it must be told when the colours change under it.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  // A canvas has no size before it is in the page.
  requestAnimationFrame(draw);
  return element('section', { class: 'charts' }, bar, big, element('div', { class: 'smalls' }, ...small));
}

function figure(title: string, size: 'big' | 'small', describe: string): HTMLElement {
  const canvas = element('canvas', { role: 'img', 'aria-label': describe });
  return element(
    'figure',
    { class: size },
    element('figcaption', {}, title),
    element('div', { class: 'canvas' }, canvas),
  );
}

const canvasOf = (figure: HTMLElement) => figure.querySelector('canvas')!;

function lossSeries(data: ReportData, xs: number[]): Series[] {
  // A run stands at zero seconds and tokens before its first step.
  const at = (step: number) => valueAt(step, [0, ...data.log.step], [0, ...xs]) ?? step;
  const height = (step: number) => valueAt(step, data.log.step, data.log.smooth) ?? data.evals[0]?.eval_loss ?? 0;
  const marks: Series[] = [
    {
      label: 'evaluation',
      points: data.evals.map(({ step, eval_loss, best }) => ({
        x: at(step),
        y: eval_loss,
        note: `${formatNumber(eval_loss)}${best ? ' (best)' : ''}`,
      })),
      color: 'eval',
      width: 1.5,
      dashed: true,
      mark: 'circle',
    },
    {
      label: 'checkpoint',
      points: data.checkpoints.map(({ step }) => ({ x: at(step), y: height(step), note: `step ${step}` })),
      color: 'checkpoint',
      width: 0,
      mark: 'rectRot',
    },
    {
      label: 'warning',
      points: data.warnings.map(({ step, message }) => ({ x: at(step), y: height(step), note: message })),
      color: 'warning',
      width: 0,
      mark: 'triangle',
    },
  ];
  return [
    // Earlier series are drawn on top.
    ...marks.filter(({ points }) => points.length > 0).reverse(),
    { label: 'train, smoothed', points: zip(xs, data.log.smooth), color: 'train', width: 2.5 },
    { label: 'train', points: zip(xs, data.log.loss), color: 'trainFaint', width: 1 },
  ];
}

const zip = (xs: number[], ys: (number | null)[]): Point[] => xs.map((x, i) => ({ x, y: ys[i] ?? null }));

/** The value of a column at a step, between the log lines around it; undefined where nothing was logged. */
function valueAt(step: number, steps: number[], values: (number | null)[]): number | undefined {
  const known = steps.flatMap((at, i) => (values[i] === null ? [] : [{ at, value: values[i]! }]));
  const after = known.findIndex(({ at }) => at >= step);
  if (after <= 0) return (after === 0 ? known[0] : known.at(-1))?.value;
  const [from, to] = [known[after - 1]!, known[after]!];
  return from.value + ((to.value - from.value) * (step - from.at)) / (to.at - from.at);
}
