import { relative } from 'node:path';
import type { CompareColumn, CompareReport } from '@protocol/compare';
import { printable } from '../format';
import type { Output } from '../output';
import { boxedTable } from '../table';

/** How much wider a text's column is than the prompts'. */
const TEXT_SHARE = 2;

/** Prompts down, models across; under each text the hash of the weights that made it. */
export function compareTable(report: CompareReport, columns: number, colors: Output['colors']): string {
  const { models, prompts, cells } = report;
  const head = ['Prompt', ...models.map((model) => colors.bold(columnTitle(model)))];
  const rows = prompts.map((prompt, row) => [
    colors.dim(printable(prompt.trim())),
    ...(cells[row] ?? []).map(({ text, weights }) => `${printable(text.trim())}\n${colors.dim(weights)}`),
  ]);
  rows.push(...summaryRows(models));
  return boxedTable(head, rows, [1, ...models.map(() => TEXT_SHARE)], columns);
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
  const fromHere = label.startsWith('/') ? relative(process.cwd(), label) : label;
  const name = fromHere !== '' && fromHere.length < label.length ? fromHere : label;
  return step === undefined ? name : `${name} (step ${step})`;
}
