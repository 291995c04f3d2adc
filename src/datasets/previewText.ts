/** A dataset as training would see it, as a page: figures, problems, and the first samples with what is learned marked. */
import type { DatasetPreview } from '@protocol/preview';
import * as l10n from '@vscode/l10n';
import { formatCount } from '../ui/format';

/** Part of the page, in UTF-16 units. */
export interface PageSpan {
  start: number;
  end: number;
}

export interface PreviewPage {
  text: string;
  headings: PageSpan[];
  /** What the model learns to write, and what it is only given. */
  learned: PageSpan[];
  given: PageSpan[];
  problems: PageSpan[];
  /** Places that stand for a line of the data file, 1-based. */
  links: (PageSpan & { line: number })[];
}

const BAR_COLUMNS = 40;
const MOST_PROBLEMS = 20;

/** @param unit whether tokens or, for want of a tokenizer, words were counted */
export function previewPage(preview: DatasetPreview, unit: 'tokens' | 'words'): PreviewPage {
  const page = new Page();
  facts(page, preview, unit);
  problems(page, preview);
  histogram(page, preview, unit);
  samples(page, preview, unit);
  return page;
}

class Page implements PreviewPage {
  text = '';
  readonly headings: PageSpan[] = [];
  readonly learned: PageSpan[] = [];
  readonly given: PageSpan[] = [];
  readonly problems: PageSpan[] = [];
  readonly links: (PageSpan & { line: number })[] = [];

  add(text: string, ...marks: PageSpan[][]): PageSpan {
    const span = { start: this.text.length, end: this.text.length + text.length };
    this.text += text;
    for (const spans of marks) if (text !== '') spans.push(span);
    return span;
  }

  line(text = ''): void {
    this.add(`${text}\n`);
  }

  heading(text: string): void {
    this.add(text, this.headings);
    this.line();
  }

  link(line: number): void {
    this.links.push({ ...this.add(l10n.t('line {0}', line)), line });
  }
}

function facts(
  page: Page,
  { path, format, rows, train, eval: held, columns, template, targetColumn, stats }: DatasetPreview,
  unit: string,
) {
  const { min, median, p95, max } = stats.lengths;
  const unitName = unit === 'words' ? l10n.t('words') : l10n.t('tokens');
  page.heading(`${path} (${format})`);
  page.line();
  page.line(
    l10n.t('{0} rows: {1} to train on, {2} to evaluate on', formatCount(rows), formatCount(train), formatCount(held)),
  );
  page.line(l10n.t('Columns: {0}', columns.join(', ')));
  page.line(
    targetColumn === undefined
      ? l10n.t('Template: {0}; the whole text is learned', JSON.stringify(template))
      : l10n.t('Template: {0}; "{1}" is learned', JSON.stringify(template), targetColumn),
  );
  page.line(l10n.t('Length: {0} to {1} {2}, median {3}, 95% up to {4}', min, max, unitName, median, p95));
  page.line(
    l10n.t(
      'Learned: {0} of {1} {2} ({3}%)',
      formatCount(stats.supervised),
      formatCount(stats.tokens),
      unitName,
      Math.round(stats.supervisedShare * 100),
    ),
  );
  if (unit === 'words')
    page.line(l10n.t('Words are counted, for want of a tokenizer; a recipe with a model counts tokens.'));
  page.line();
}

function problems(page: Page, { stats, unusable, rows }: DatasetPreview) {
  const { truncated, truncatedShare, duplicates } = stats;
  if (truncated === 0 && duplicates.count === 0 && unusable.count === 0) {
    page.line(l10n.t('✓ No problems: nothing is cut off, no row comes twice, every row can be used.'));
    page.line();
    return;
  }
  page.heading(l10n.t('Problems'));
  if (truncated > 0) {
    page.add(
      l10n.t('{0} samples ({1}%) are longer than max_length and cut off', truncated, percent(truncatedShare)),
      page.problems,
    );
    page.line();
  }
  if (unusable.count > 0) {
    page.add(
      l10n.t('{0} of {1} rows cannot be used, and training would refuse them:', unusable.count, rows),
      page.problems,
    );
    page.line();
    for (const { line, reason } of unusable.rows.slice(0, MOST_PROBLEMS)) {
      page.add('  ');
      page.link(line);
      page.line(`: ${oneLine(reason)}`);
    }
    if (unusable.count > MOST_PROBLEMS) page.line(`  ${l10n.t('… and {0} more', unusable.count - MOST_PROBLEMS)}`);
  }
  if (duplicates.count > 0) {
    page.add(l10n.t('{0} samples come twice:', duplicates.count), page.problems);
    page.line();
    for (const { line, sameAs } of duplicates.examples) {
      page.add('  ');
      page.link(line);
      page.add(' = ');
      page.link(sameAs);
      page.line();
    }
  }
  page.line();
}

function histogram(page: Page, { stats }: DatasetPreview, unit: string) {
  if (stats.histogram.length === 0) return;
  page.heading(unit === 'words' ? l10n.t('Words a sample') : l10n.t('Tokens a sample'));
  const most = Math.max(...stats.histogram.map(({ count }) => count));
  const digits = String(stats.histogram.at(-1)!.to).length;
  for (const { from, to, count } of stats.histogram) {
    const bar = '█'.repeat(Math.ceil((BAR_COLUMNS * count) / most));
    page.line(`${String(from).padStart(digits)}-${String(to).padEnd(digits)}  ${bar.padEnd(BAR_COLUMNS)}  ${count}`);
  }
  page.line();
}

function samples(page: Page, { samples, targetColumn }: DatasetPreview, unit: string) {
  if (samples.length === 0) return;
  page.heading(
    targetColumn === undefined
      ? l10n.t('The first samples, as the model sees them')
      : l10n.t('The first samples, as the model sees them (what it learns to write stands between ⟦ and ⟧)'),
  );
  for (const sample of samples) {
    page.line();
    page.add('── ');
    page.link(sample.line);
    const count =
      unit === 'words' ? l10n.t('{0} words', sample.tokens.length) : l10n.t('{0} tokens', sample.tokens.length);
    page.line(`, ${count}${sample.truncated ? `, ${l10n.t('cut off')}` : ''}`);
    for (const { supervised, text } of sample.parts) {
      if (targetColumn === undefined) page.add(text);
      else if (supervised) page.add(`⟦${text}⟧`, page.learned);
      else page.add(text, page.given);
    }
    page.line();
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

/** Never 0 for something. */
function percent(share: number): string {
  const value = share * 100;
  return value > 0 && value < 1 ? value.toPrecision(1) : String(Math.round(value));
}
