import { isAbsolute, relative } from 'node:path';
import type { CompareColumn, CompareReport } from '@protocol/compare';
import { printable } from '../format';
import type { Output } from '../output';
import { boxedTable } from '../table';

/** How much wider a text's column is than the prompts'. */
const TEXT_SHARE = 2;

/**
 * Prompts down, models across; under each text the hash of the weights that made it. In a terminal that is too narrow
 * for that, one below the other.
 */
export function compareTable(report: CompareReport, columns: number, colors: Output['colors']): string {
  const { models, prompts, cells } = report;
  const titles = models.map((model) => colors.bold(columnTitle(model)));
  const rows = prompts.map((prompt, row) => [
    colors.dim(printable(prompt.trim())),
    ...(cells[row] ?? []).map(({ text, weights }) => `${printable(text.trim())}\n${colors.dim(weights)}`),
  ]);
  const all = [...rows, ...summaryRows(models)];
  const table = boxedTable(['Prompt', ...titles], all, [1, ...models.map(() => TEXT_SHARE)], columns);
  if (table !== undefined) return table;
  return all
    .map(([name, ...values]) => [name, ...values.map((value, i) => `${titles[i]}: ${value}`), ''].join('\n'))
    .join('\n');
}

/** The figures of each model over all of its texts. */
export function summaryRows(models: readonly CompareColumn[]): string[][] {
  const rows = [
    ['Unique words', ...models.map(({ metrics }) => `${metrics.unique_words} of ${metrics.words}`)],
    [
      'Distinct-1, -2',
      ...models.map(({ metrics }) => `${metrics.distinct_1.toFixed(2)}, ${metrics.distinct_2.toFixed(2)}`),
    ],
  ];
  if (models.some(({ perplexity }) => perplexity !== undefined)) {
    rows.push(['Perplexity', ...models.map(({ perplexity }) => perplexity?.toFixed(2) ?? '–')]);
  }
  return rows;
}

/** What a model was named by, as short as it can be. */
export function columnTitle({ label, step }: CompareColumn): string {
  const fromHere = isAbsolute(label) ? relative(process.cwd(), label) : label;
  const name = fromHere !== '' && fromHere.length < label.length ? fromHere : label;
  return step === undefined ? name : `${name} (step ${step})`;
}
