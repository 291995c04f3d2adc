import type { CompareReport } from '@protocol/compare';
import { printable } from '../format';
import { columnTitle, summaryRows } from './compareTable';

/** A comparison as a Markdown table that GitHub and VS Code draw. */
export function compareMarkdown(report: CompareReport): string {
  const { models, prompts, cells, seed, warnings } = report;
  const lines = [
    '# Comparison',
    '',
    `Seed ${seed}. Below each text stands the hash of the weights that wrote it.`,
    '',
    row(['Prompt', ...models.map((model) => escaped(columnTitle(model)))]),
    row(['---', ...models.map(() => '---')]),
    ...prompts.map((prompt, index) =>
      row([escaped(prompt), ...(cells[index] ?? []).map(({ text, weights }) => `${escaped(text)}<br>\`${weights}\``)]),
    ),
    ...summaryRows(models).map(([name = '', ...values]) => row([`**${name}**`, ...values])),
    ...warnings.flatMap((warning) => ['', `> ${escaped(warning)}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Nothing that a model writes becomes markup. */
function escaped(text: string): string {
  return printable(text.trim())
    .replaceAll(/[\\`*_{}[\]<>#|~&!]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replaceAll('\n', '<br>');
}
