import type { DatasetPreview } from '@protocol/preview';
import { formatCount, formatShare, printable } from '../format';
import type { Output } from '../output';

export interface PreviewView {
  /** Whether words were counted, for want of a tokenizer. */
  words: boolean;
  colors: Output['colors'];
  columns: number;
}

const BAR_COLUMNS = 40;

/** A dataset: what it is, how long its samples are, what is wrong with it, and the first samples. */
export function previewText(preview: DatasetPreview, view: PreviewView): string {
  return [
    ...facts(preview, view),
    '',
    ...histogram(preview, view),
    ...faults(preview, view),
    ...samples(preview, view),
  ].join('\n');
}

function facts(preview: DatasetPreview, { words, colors }: PreviewView): string[] {
  const { stats } = preview;
  const unit = words ? 'words' : 'tokens';
  const { min, median, p95, max } = stats.lengths;
  const target =
    preview.targetColumn === undefined ? 'the whole text is learned' : `"${preview.targetColumn}" is learned`;
  const rows: [string, string][] = [
    ['File', `${preview.path} (${preview.format})`],
    ['Rows', `${preview.rows}: ${preview.train} to train on, ${preview.eval} to evaluate on`],
    ['Columns', preview.columns.join(', ')],
    ['Template', `${oneLineTemplate(preview.template)} (${target})`],
    ['Length', `${min} to ${max} ${unit}, median ${median}, 95% up to ${p95}`],
    [
      'Learned',
      `${formatCount(stats.supervised)} of ${formatCount(stats.tokens)} ${unit} (${formatShare(stats.supervisedShare)})`,
    ],
  ];
  if (!words) rows.push(['Cut off', `${stats.truncated} samples (${formatShare(stats.truncatedShare)})`]);
  if (stats.duplicates.count > 0) rows.push(['Duplicates', duplicatesText(stats.duplicates)]);
  const lines = rows.map(([name, value]) => `${colors.bold(name.padEnd(10))}  ${value}`);
  if (words) lines.push(colors.dim('            Words are counted, for want of a tokenizer; --model counts tokens.'));
  return lines;
}

function oneLineTemplate(template: string): string {
  return JSON.stringify(template);
}

function duplicatesText({ count, examples }: DatasetPreview['stats']['duplicates']): string {
  const [first] = examples;
  return first === undefined ? String(count) : `${count} (line ${first.line} is the same as line ${first.sameAs})`;
}

function histogram({ stats }: DatasetPreview, { words, colors }: PreviewView): string[] {
  const most = Math.max(1, ...stats.histogram.map(({ count }) => count));
  const width = String(stats.histogram.at(-1)?.to ?? 0).length;
  const lines = stats.histogram.map(({ from, to, count }) => {
    const bar = '█'.repeat(Math.ceil((BAR_COLUMNS * count) / most));
    return `${String(from).padStart(width)}–${String(to).padEnd(width)}  ${colors.cyan(bar)} ${count}`;
  });
  return lines.length === 0 ? [] : [`${words ? 'Words' : 'Tokens'} a sample`, ...lines, ''];
}

function faults({ unusable }: DatasetPreview, { colors }: PreviewView): string[] {
  if (unusable.count === 0) return [];
  const shown = unusable.rows.slice(0, 5).map(({ line, reason }) => `  line ${line}: ${printable(reason)}`);
  const more = unusable.count > shown.length ? [`  … and ${unusable.count - shown.length} more`] : [];
  const rows = unusable.count === 1 ? '1 row' : `${unusable.count} rows`;
  return [colors.red(`Training would refuse ${rows}:`), ...shown, ...more, ''];
}

/** With colours the prompt is dim and what is learned is green; without, ⟦brackets⟧ stand around it. */
function samples({ samples }: DatasetPreview, { colors, columns }: PreviewView): string[] {
  return samples.flatMap(({ line, truncated, tokens, parts }) => {
    const head = `Line ${line}, ${tokens.length} ${truncated ? '(cut off)' : ''}`.trimEnd();
    const text = parts
      .map((part) => (part.supervised ? mark(part.text, colors) : colors.dim(printable(part.text))))
      .join('');
    return [colors.bold(`── ${head} `.padEnd(Math.min(columns, 60), '─')), text, ''];
  });
}

function mark(text: string, colors: Output['colors']): string {
  return colors.isColorSupported ? colors.green(printable(text)) : `⟦${printable(text)}⟧`;
}
