/** The page of a run's report: what it was, how it went, what it writes now. Its data lies in the page as JSON. */
import type { ReportData, ReportGeneration } from '@protocol/report';
import { element } from '../components/element';
import { formatBytes, formatNumber, formatSeconds } from '../components/format';
import { reportCharts } from '../components/reportCharts';

const data: ReportData = JSON.parse(document.getElementById('data')!.textContent);

const STATUS = {
  completed: '✓ completed',
  stopped: '■ stopped',
  failed: '✗ failed',
  unfinished: '… not finished',
} as const;

function header(): HTMLElement {
  const state = element('span', { class: `status ${data.status}` }, STATUS[data.status]);
  const started = data.started ? new Date(data.started) : undefined;
  const about = [
    data.model && `${data.model}${data.parameters ? `, ${formatNumber(data.parameters)} weights` : ''}`,
    data.method && (data.trainable_parameters === data.parameters ? data.method : trainedShare()),
    data.device_reason || data.device,
    data.train_samples && `${data.train_samples} training + ${data.eval_samples} evaluation samples`,
    started &&
      !Number.isNaN(started.getTime()) &&
      started.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' }),
  ].filter((part): part is string => Boolean(part));
  const line = element('p', { class: 'about' }, ...about.flatMap((part) => [element('span', {}, part), ' ']));
  return element('header', {}, element('h1', {}, data.run), state, line);
}

const trainedShare = () => `${data.method}, ${formatNumber(data.trainable_parameters)} trained`;

/** The numbers one looks for first. */
function facts(): HTMLElement {
  const { log, evals } = data;
  const losses = log.smooth.filter((loss) => loss !== null);
  const first = log.loss.find((loss) => loss !== null);
  const best = evals.find((item) => item.best) ?? evals.at(-1);
  const speeds = log.tokens_per_second.filter((speed) => speed !== null);
  const memory = log.memory_bytes.reduce<number>((most, bytes) => Math.max(most, bytes ?? 0), 0);
  const list = element('dl', { class: 'facts' });
  const fact = (name: string, value: string | undefined, note = '') => {
    if (value === undefined) return;
    list.append(
      element('div', {}, element('dt', {}, name), element('dd', {}, value), element('dd', { class: 'note' }, note)),
    );
  };
  fact(
    'Loss',
    first === undefined ? undefined : `${formatNumber(first)} → ${formatNumber(losses.at(-1)!)}`,
    'first → last, smoothed',
  );
  fact(
    'Evaluation loss',
    best && formatNumber(best.eval_loss),
    best &&
      [
        `${best.best ? 'best, ' : ''}step ${best.step}`,
        `perplexity ${formatNumber(Math.exp(best.eval_loss))}`,
        ...(best.eval_accuracy === undefined ? [] : [`accuracy ${formatNumber(100 * best.eval_accuracy)}%`]),
      ].join(' · '),
  );
  fact('Steps', `${data.step} of ${data.total_steps}`, data.resumes > 0 ? `resumed ${times(data.resumes)}` : '');
  fact('Time', formatSeconds(data.seconds), data.resumes > 0 ? 'without pauses' : '');
  fact('Speed', speeds.length > 0 ? formatNumber(median(speeds)) : undefined, 'tokens/s, median');
  fact('Memory', memory > 0 ? formatBytes(memory) : undefined, 'most');
  return list;
}

const times = (count: number) => (count === 1 ? 'once' : `${count} times`);
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

function notices(): HTMLElement[] {
  const lines = data.warnings.map(({ step, message }) => element('li', {}, `Step ${step}: ${message}`));
  return [
    ...(data.message ? [element('p', { class: 'notice failed', role: 'alert' }, data.message)] : []),
    ...(lines.length > 0
      ? [
          element(
            'details',
            { class: 'notice', open: lines.length < 5 ? '' : undefined },
            element('summary', {}, count(lines.length, 'warning')),
            element('ul', {}, ...lines),
          ),
        ]
      : []),
  ];
}

const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? '' : 's'}`;

function charts(): HTMLElement[] {
  if (data.log.step.length === 0 && data.evals.length === 0) {
    return [element('p', { class: 'empty' }, 'No losses yet: the run wrote no log line.')];
  }
  return [reportCharts(data)];
}

function generations(): HTMLElement[] {
  const rows = data.generations;
  if (rows.length === 0) return [];
  const hasBase = rows.some((row) => row.base);
  const hasTuned = rows.some((row) => row.tuned);
  const stamp = (name: string, which: 'base' | 'tuned') => {
    const one = rows.find((row) => row[which])?.[which];
    return element('th', { scope: 'col' }, name, ...(one ? [' ', element('code', {}, one.weights)] : []));
  };
  const tuned = rows.find((row) => row.tuned)?.tuned;
  const columns = [
    ...(hasBase ? [['Base', 'base'] as const] : []),
    ...(hasTuned ? [[`Fine-tuned, step ${tuned?.step}`, 'tuned'] as const] : []),
  ];
  const head = element(
    'tr',
    {},
    element('th', { scope: 'col' }, 'Prompt'),
    ...columns.map(([name, key]) => stamp(name, key)),
  );
  const body = rows.map((row) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, row.prompt),
      ...columns.map(([name, key]) => cell(name, row[key])),
    ),
  );
  return [
    element(
      'section',
      {},
      element('h2', {}, hasBase && hasTuned ? 'Base and fine-tuned, same prompts' : 'Text from prompts'),
      element('table', { class: 'texts' }, element('thead', {}, head), element('tbody', {}, ...body)),
    ),
  ];
}

function cell(name: string, generation: ReportGeneration | undefined): HTMLElement {
  const text = generation ? generation.text.trim() || '(no text)' : '–';
  return element('td', { 'data-column': generation ? `${name} · ${generation.weights}` : name }, text);
}

function recipe(): HTMLElement[] {
  if (data.recipe === null) return [];
  const text = JSON.stringify(data.recipe, null, 2);
  return [element('details', {}, element('summary', {}, 'Recipe'), element('pre', {}, text))];
}

document.querySelector('main')!.append(header(), facts(), ...notices(), ...charts(), ...generations(), ...recipe());
